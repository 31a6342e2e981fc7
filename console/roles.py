"""Who may do what in the console: the permissions, the groups, and how a page asks.

A page, an action, a live feed and an export each name one permission. What has a model of its
own goes by Django's permissions (`keys_app.view_apikey`); the rest is here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from django.contrib.auth.models import Group, Permission
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest

VIEW_LIVE = "console.view_live"
VIEW_SESSIONS = "console.view_sessions"
EXPORT_SESSIONS = "console.export_sessions"
DECIDE_APPROVALS = "console.decide_approvals"
OPERATE_SESSIONS = "console.operate_sessions"
USE_PLAYGROUND = "console.use_playground"
SWITCH_SERVICE = "console.switch_service"
VIEW_AUDIT = "console.view_auditentry"
EXPORT_AUDIT = "console.export_audit"
EXPORT_USAGE = "console.export_usage"

VIEWER, APPROVER, OPERATOR, ADMINISTRATOR = GROUPS = (
    "viewer",
    "approver",
    "operator",
    "administrator",
)

SAYS = {
    VIEWER: "sees the front page, sessions, runs, approvals, keys and usage",
    APPROVER: "and answers approvals",
    OPERATOR: "and cancels, ends, exports, makes keys, uses the playground, pauses the service",
    ADMINISTRATOR: "and manages people, reads and exports the audit log",
}

P = ParamSpec("P")
T = TypeVar("T")


def may(user: Any, permission: str) -> bool:
    """Whether this person, signed in and active staff, has the permission."""
    return bool(user.is_active and user.is_staff and user.has_perm(permission))


def may_manage(actor: Any, person: Any) -> bool:
    """Whether this person can do nothing that the actor cannot: else a password were a way up."""
    if actor.is_superuser:
        return True
    beyond = _beyond(actor).filter(Q(group__user=person) | Q(user=person))
    return not person.is_superuser and not beyond.exists()


def grantable_by(actor: Any) -> QuerySet[Group]:
    """The groups that include nothing but what the actor may do."""
    groups = Group.objects.order_by("pk")
    return groups if actor.is_superuser else groups.exclude(permissions__in=_beyond(actor))


def _beyond(actor: Any) -> QuerySet[Permission]:
    held = Permission.objects.filter(Q(group__user=actor) | Q(user=actor))
    return Permission.objects.exclude(pk__in=held.values("pk"))


def require(user: Any, permission: str) -> None:
    """Pass who has the permission.

    Raises:
        PermissionDenied: shown as a page in the console.
    """
    if not may(user, permission):
        raise PermissionDenied(permission)


def needs(
    permission: str,
) -> Callable[[Callable[Concatenate[HttpRequest, P], T]], Callable[Concatenate[HttpRequest, P], T]]:
    """A view for those who have the permission; put it below `site.admin_view`."""

    def guarded(
        view: Callable[Concatenate[HttpRequest, P], T],
    ) -> Callable[Concatenate[HttpRequest, P], T]:
        @wraps(view)
        def checked(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> T:
            require(request.user, permission)
            return view(request, *args, **kwargs)

        # `wraps` forgets that the first parameter may be given by position.
        return cast(Callable[Concatenate[HttpRequest, P], T], checked)

    return guarded
