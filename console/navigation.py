"""The console's ways, as its header shows them: each for those who may go it."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from console import roles


@dataclass(frozen=True, slots=True)
class Way:
    """One entry of the header.

    Attributes:
        url_name: inside the namespace `admin`.
        badge: a live count beside the label: the name that `console.js` looks for.
    """

    label: str
    url_name: str
    permission: str
    badge: str = ""


WAYS = (
    Way("Now", "index", roles.VIEW_LIVE),
    Way("Sessions", "console_sessions", roles.VIEW_SESSIONS),
    Way("Runs", "console_runs", roles.VIEW_SESSIONS),
    Way("Approvals", "console_approvals", roles.VIEW_SESSIONS, badge="approvals"),
    Way("Keys", "keys_app_apikey_changelist", "keys_app.view_apikey"),
    Way("Usage", "keys_app_usagesum_changelist", "keys_app.view_usagesum"),
    Way("Playground", "console_playground", roles.USE_PLAYGROUND),
    Way("Service", "console_service", roles.VIEW_LIVE),
    Way("People", "auth_user_changelist", "auth.view_user"),
    Way("Audit", "console_auditentry_changelist", roles.VIEW_AUDIT),
)


def entries(request: HttpRequest) -> list[dict[str, object]]:
    """What this person may open, and which of it is open."""
    shown: list[dict[str, object]] = []
    for way in WAYS:
        if not roles.may(request.user, way.permission):
            continue
        try:
            url = reverse(f"admin:{way.url_name}")
        except NoReverseMatch:
            continue
        here = request.path == url or (way.url_name != "index" and request.path.startswith(url))
        shown.append({"label": way.label, "url": url, "badge": way.badge, "here": here})
    return shown


def section(entries: list[dict[str, object]]) -> dict[str, object] | None:
    """The entry that is open, or None: the page belongs to none of them."""
    return next((entry for entry in entries if entry["here"]), None)
