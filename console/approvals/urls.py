"""The paths of approvals."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.urls import path

from console.approvals import views


def patterns(site: AdminSite) -> list[Any]:
    """Every page of approvals."""
    page = site.admin_view
    return [
        path("approvals/", page(views.inbox), name="console_approvals"),
        path("approvals/waiting/", page(views.waiting), name="console_approvals_waiting"),
        path("approvals/answered/", page(views.history), name="console_approvals_answered"),
        path("approvals/<uuid:approval_id>/", page(views.one), name="console_approval"),
        path(
            "approvals/<uuid:approval_id>/input/",
            page(views.whole_input),
            name="console_approval_input",
        ),
        path(
            "approvals/<uuid:approval_id>/answer/",
            page(views.answered),
            name="console_approval_answer",
        ),
    ]
