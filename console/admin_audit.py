"""Every model admin of the console writes what it does to the audit log as well.

Django's own history (`LogEntry`) can be edited and goes with the account; this cannot.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import ModelAdmin
from django.db.models import Model
from django.http import HttpRequest

from console import audit


class Audited:
    """Put before a `ModelAdmin`: the hooks through which all of its changes go."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        """A row was made."""
        audit.record(request.user, f"{_noun(obj)}.added", obj, **_said(message))
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        """A row was changed."""
        audit.record(request.user, f"{_noun(obj)}.changed", obj, **_said(message))
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Model]) -> Any:
        """Rows are about to be deleted."""
        for obj in queryset:
            audit.record(request.user, f"{_noun(obj)}.deleted", obj)
        return super().log_deletions(request, queryset)  # type: ignore[misc]


def audited(admin_class: type[ModelAdmin[Any]]) -> type[ModelAdmin[Any]]:
    """The same admin class, writing to the audit log; unless it does so by itself, with
    `audits_itself`, to say more.
    """
    if issubclass(admin_class, Audited) or getattr(admin_class, "audits_itself", False):
        return admin_class
    return type(admin_class.__name__, (Audited, admin_class), {"__doc__": admin_class.__doc__})


def _noun(obj: Model) -> str:
    return str(obj._meta.model_name)


def _said(message: Any) -> dict[str, Any]:
    """What changed, by name: values may be secret."""
    return {"message": message} if message else {}
