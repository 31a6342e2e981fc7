"""The console's own pages, below /admin/ and in the namespace `admin`.

Every page but those of signing in is wrapped by `site.admin_view` (signed in, staff) and names
its permission with `roles.needs`.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.urls import path

from console.approvals import urls as approvals
from console.overview import views as overview
from console.playground import urls as playground
from console.service import views as service
from console.sessions import urls as sessions
from console.sign_in import views as sign_in


def patterns(site: AdminSite) -> list[Any]:
    """All pages that are not a model's."""
    page = site.admin_view
    return [
        path("models/", page(site.models_page), name="console_models"),  # type: ignore[attr-defined]
        path("charts/", page(overview.charts), name="console_charts"),
        path("service/", page(service.page), name="console_service"),
        path("login/code/", sign_in.code, name="console_sign_in_code"),
        path("two-factor/", page(sign_in.second_factor), name="console_second_factor"),
        *sessions.patterns(site),
        *approvals.patterns(site),
        *playground.patterns(site),
    ]
