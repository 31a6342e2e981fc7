"""The admin site of the console: its pages, who sees them, and what every page knows."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.http import HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache

from console import audit, navigation, roles, urls
from console.admin_audit import audited
from console.admin_lookups import narrowed
from console.overview import views as overview
from console.sign_in.views import SignInView
from sessions_app import switch


class ConsoleSite(AdminSite):
    """Django's admin with a live front page, an audit log and roles."""

    site_header = "claudeapi"
    site_title = "claudeapi console"
    index_title = "Now"
    site_url = "/api/docs/"
    enable_nav_sidebar = False

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Register models: changes to them are audited, their lists show no more than they say."""
        admin_class = narrowed(audited(admin_class or ModelAdmin))
        super().register(model_or_iterable, admin_class, **options)

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """The live front page."""
        return overview.front_page(request)

    def models_page(self, request: HttpRequest) -> TemplateResponse:
        """Django's own index: every model there is."""
        return super().index(request, {"title": "All tables"})

    def get_urls(self) -> list[Any]:
        """The console's pages before Django's own, whose last one takes what is left."""
        own: list[URLPattern | URLResolver] = urls.patterns(self)
        return [*own, *super().get_urls()]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """What every page shows besides its own: the ways there are, and the service's state."""
        context, entries = super().each_context(request), navigation.entries(request)
        return {
            **context,
            "navigation": entries,
            "section": navigation.section(entries),
            "service": switch.current(),
            "may_switch": roles.may(request.user, roles.SWITCH_SERVICE),
        }

    @method_decorator(never_cache)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Ask who it is; who is signed in already goes to the front page."""
        if request.method == "GET" and self.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index"))
        return SignInView.as_view()(request)

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Change one's own password; that it was done is written down."""
        response = super().password_change(request, extra_context)
        if response.status_code == 302:
            audit.record(request.user, "password.changed", request.user)  # type: ignore[arg-type]
        return response
