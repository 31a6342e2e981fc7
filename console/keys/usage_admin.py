"""What keys used, by the hour, in the admin: to read, to filter, to export."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from console import roles
from console.keys import figures, usage_export
from console.keys.filters import EngineFilter, KeyFilter, ModelFilter, PeriodFilter
from console.paging import EstimatingPaginator
from keys_app import tokens
from keys_app.budgets import money
from keys_app.models import ApiKey, UsageSum

if TYPE_CHECKING:
    SumModelAdmin = admin.ModelAdmin[UsageSum]
else:
    SumModelAdmin = admin.ModelAdmin

KEYS_MATCHED = 20


def _count(name: str, label: str) -> Callable[[UsageSum], str]:
    @admin.display(description=label)
    def shown(row: UsageSum) -> str:
        return f"{getattr(row, name):,}"

    shown.__name__ = name
    return shown


COUNTS = (
    _count("runs", "runs"),
    _count("input_tokens", "in"),
    _count("output_tokens", "out"),
    _count("cache_read_tokens", "cache read"),
    _count("cache_creation_tokens", "cache made"),
)


@admin.register(UsageSum)
class UsageSumAdmin(SumModelAdmin):
    """A row for each hour of a key, engine and model; read-only."""

    change_list_template = "console/keys/usage.html"
    list_display = ("shown_hour", "key_link", "engine", "model_link", *COUNTS, "cost")
    list_display_links = None
    list_filter = (PeriodFilter, EngineFilter, ModelFilter, KeyFilter)
    list_select_related = ("key",)
    list_per_page = 50
    ordering = ("-hour", "-id")
    # Other orders would have the database read and sort all there is.
    sortable_by = ("shown_hour",)
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = EstimatingPaginator
    actions = None
    search_fields = ("key__name", "=model")
    search_help_text = "A key's name or public part (capi_…), or a model"

    @admin.display(description="hour, UTC", ordering="hour")
    def shown_hour(self, row: UsageSum) -> str:
        """When it began."""
        return f"{row.hour.astimezone(UTC):%Y-%m-%d %H:%M}"

    @admin.display(description="key")
    def key_link(self, row: UsageSum) -> str:
        """The key, and the way to it."""
        url = reverse("admin:keys_app_apikey_change", args=[row.key_id])
        return format_html('<a href="{}">{}</a>', url, row.key)

    @admin.display(description="model")
    def model_link(self, row: UsageSum) -> str:
        """The model, and the way to all that was used of it."""
        return format_html('<a href="?{}">{}</a>', urlencode({"model": row.model}), row.model)

    @admin.display(description="cost")
    def cost(self, row: UsageSum) -> str:
        """US dollars."""
        return f"${money(row.cost_usd)}"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[UsageSum], search_term: str
    ) -> tuple[QuerySet[UsageSum], bool]:
        """Look the keys up first: a join would compare the name for every hour there is."""
        term = search_term.strip()
        if not term:
            return queryset, False
        keys = list(_keys(term).values_list("pk", flat=True)[:KEYS_MATCHED])
        return queryset.filter(Q(key__in=keys) if keys else Q(model=term)), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list, and above it what all of it comes to."""
        page = super().changelist_view(request, extra_context)
        if isinstance(page, TemplateResponse) and page.context_data and "cl" in page.context_data:
            used, note = figures.total_of(page.context_data["cl"].queryset)
            page.context_data["totals"] = {"used": used, "note": note}
        return page

    def get_urls(self) -> list[URLPattern]:
        """The export of everything that a filter leaves, beside Django's own pages."""
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/", view, name="keys_app_usagesum_export"), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> StreamingHttpResponse:
        """The list as a file. It reads filters and search itself, so that both always agree."""
        roles.require(request.user, "keys_app.view_usagesum")
        roles.require(request.user, roles.EXPORT_USAGE)
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters as error:
            raise Http404("There is no such filter.") from error
        return usage_export.export(request, rows, filters=request.GET.dict())

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Sums come from runs."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: UsageSum | None = None) -> bool:
        """Sums come from runs."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: UsageSum | None = None) -> bool:
        """Budgets are checked against them."""
        return False


def _keys(term: str) -> QuerySet[ApiKey]:
    if term.startswith(f"{tokens.MARK}_"):
        return ApiKey.objects.filter(public_id__startswith=term.split("_")[1])
    return ApiKey.objects.filter(name__icontains=term)
