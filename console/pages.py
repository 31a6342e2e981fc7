"""What the console's own pages have in common with Django's."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.http import url_has_allowed_host_and_scheme


def context(request: HttpRequest, title: str, **extra: Any) -> dict[str, Any]:
    """A page's context: what every page of the site knows, its title, and its own."""
    return {**admin.site.each_context(request), "title": title, **extra}


def page(request: HttpRequest, template: str, title: str, **extra: Any) -> TemplateResponse:
    """One of the console's own pages; `template` is below `console/`."""
    return TemplateResponse(request, f"console/{template}", context(request, title, **extra))


def came_from(request: HttpRequest, otherwise: str) -> str:
    """The page of this site that a form names as `next`, or another."""
    url = str(request.POST.get("next", ""))
    own = url.startswith("/admin/") and url_has_allowed_host_and_scheme(url, None)
    return url if own else otherwise
