"""The paths of sessions and runs."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.urls import path

from console.sessions import acting, export, file_views, views


def patterns(site: AdminSite) -> list[Any]:
    """Every page of sessions and runs."""
    page = site.admin_view
    one = "sessions/<uuid:session_id>/"
    return [
        path("sessions/", page(views.session_list), name="console_sessions"),
        path("runs/", page(views.run_list), name="console_runs"),
        path(one, page(views.session_page), name="console_session"),
        path(one + "runs/<uuid:run_id>/", page(views.turn_piece), name="console_turn"),
        path(one + "events/", page(views.events), name="console_events"),
        path(one + "files/", page(file_views.browse), name="console_files"),
        path(one + "files/download/", page(file_views.download), name="console_file"),
        path(one + "export.<str:kind>", page(export.export), name="console_export"),
        path(one + "do/<slug:verb>/", page(acting.act), name="console_act"),
    ]
