"""The paths of the playground."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.urls import path

from console.playground import views


def patterns(site: AdminSite) -> list[Any]:
    """Every page of the playground, and the first steps."""
    page = site.admin_view
    return [
        path("playground/", page(views.start), name="console_playground"),
        path("playground/models/", page(views.models), name="console_playground_models"),
        path("playground/<uuid:session_id>/", page(views.talk), name="console_talk"),
        path("playground/<uuid:session_id>/say/", page(views.said), name="console_say"),
        path("first-steps/", page(views.first_run), name="console_first_run"),
    ]
