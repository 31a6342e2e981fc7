"""The front page's figures, in groups, each with the way to what it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.urls import reverse

from console import roles
from console.overview.drawing import seconds, shown
from console.overview.snapshot import Overview

# As `console.js` shows them alike.
FORMS: dict[str, Callable[[Any], str]] = {
    "": str,
    "count": shown,
    "money": lambda value: f"${value}",
    "seconds": seconds,
    "bytes": filesizeformat,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        name: of the value in the overview; `a.b` looks into `a`.
        form: of `FORMS`.
        page, query: where its number leads.
        warn: highlighted above nought.
    """

    label: str
    name: str
    form: str = ""
    page: str = ""
    query: str = ""
    warn: bool = False


GROUPS: dict[str, tuple[Figure, ...]] = {
    "Work": (
        Figure("Active sessions", "sessions", page="console_sessions", query="?status=active"),
        Figure("Runs running", "running", page="console_runs", query="?status=running"),
        Figure("Runs queued", "queued", page="console_runs", query="?status=queued"),
        Figure("Runs waiting", "waiting", page="console_runs", query="?status=waiting"),
        Figure("Approvals waiting", "approvals", page="console_approvals", warn=True),
        Figure("Clients' streams", "streams"),
    ),
    "Last minute": (
        Figure("Runs ended", "runs_ended", page="console_runs"),
        Figure("Tokens, with cache", "tokens", form="count"),
        Figure("Cost", "cost", form="money"),
    ),
    "First delta": (
        Figure("Median", "first_delta.p50", form="seconds"),
        Figure("95 %", "first_delta.p95", form="seconds"),
    ),
    "Agents": (
        Figure("Live", "agents"),
        Figure("Memory", "agents_memory", form="bytes"),
    ),
}


def groups(now: Overview, request: HttpRequest) -> list[dict[str, Any]]:
    """What the template shows; links are for those who may read sessions."""
    leads = roles.may(request.user, roles.VIEW_SESSIONS)
    values = now.as_json()
    return [
        {"title": title, "figures": [_shown(figure, values, leads) for figure in figures]}
        for title, figures in GROUPS.items()
    ]


def _shown(figure: Figure, values: dict[str, Any], leads: bool) -> dict[str, Any]:
    value: Any = values
    for part in figure.name.split("."):
        value = value[part]
    url = reverse(f"admin:{figure.page}") + figure.query if figure.page and leads else ""
    return {
        "figure": figure,
        "url": url,
        "text": FORMS[figure.form](value),
        "is_high": figure.warn and value > 0,
    }
