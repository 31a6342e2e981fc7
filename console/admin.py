"""The console's models in the admin; people are in `console.people`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.html import format_html

import console.keys.admin  # noqa: F401 (registers keys and usage)
from console import audit, audit_export, audit_list, roles
from console.models import AuditEntry, SecondFactor
from console.paging import EstimatingPaginator
from console.people.admin import PersonAdmin, RoleAdmin

if TYPE_CHECKING:
    AuditModelAdmin = admin.ModelAdmin[AuditEntry]
    FactorModelAdmin = admin.ModelAdmin[SecondFactor]
else:
    AuditModelAdmin = FactorModelAdmin = admin.ModelAdmin


@admin.register(AuditEntry)
class AuditEntryAdmin(AuditModelAdmin):
    """Who did what: to read, filter and export; nobody changes it here."""

    list_display = ("at", "actor", "verb", "shown_target", "said", "address")
    list_display_links = ("at",)
    list_filter = ("at", audit_list.WhatFilter, audit_list.ActorFilter)
    further_lookups = ("verb",)
    search_fields = ("actor",)  # there is a search; what it does: `audit_list.search`
    search_help_text = audit_list.SEARCHES
    ordering = ("-at", "-id")
    # No index serves another order.
    sortable_by = ("at",)
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = EstimatingPaginator
    actions = ("export_csv", "export_json")
    change_list_template = "admin/console/auditentry/change_list.html"
    readonly_fields = (
        "at", "actor", "address", "verb", "target_type", "target_id", "target", "details",
        "request_id",
    )  # fmt: skip
    fields = readonly_fields

    @admin.display(description="target")
    def shown_target(self, entry: AuditEntry) -> str:
        """What it was done to, and the way there."""
        return audit_list.target(entry)

    @admin.display(description="details")
    def said(self, entry: AuditEntry) -> str:
        """The details in one line."""
        text = audit.in_words(entry.details)
        return format_html('<span class="clip" title="{}">{}</span>', text, text) if text else "-"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry], search_term: str
    ) -> tuple[QuerySet[AuditEntry], bool]:
        """What a text stands for: see `audit_list.search`."""
        return audit_list.search(queryset, search_term.strip()), False

    def get_urls(self) -> list[Any]:
        """The export of everything that a filter leaves, beside Django's own pages."""
        return [*audit_export.patterns(self), *super().get_urls()]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Entries come from what is done."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        """Never."""
        return False

    def has_export_permission(self, request: HttpRequest) -> bool:
        """For Django: who may use the actions below."""
        return roles.may(request.user, roles.EXPORT_AUDIT)

    @admin.action(description="Export selected entries as CSV", permissions=["export"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> HttpResponseBase:
        """The selected entries as CSV."""
        return audit_export.export(request, queryset, "csv")

    @admin.action(description="Export selected entries as JSON", permissions=["export"])
    def export_json(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> HttpResponseBase:
        """The selected entries as JSON."""
        return audit_export.export(request, queryset, "json")


@admin.register(SecondFactor)
class SecondFactorAdmin(FactorModelAdmin):
    """Who has one; an administrator takes away one that is lost."""

    list_display = ("user", "confirmed_at", "created_at")
    list_select_related = ("user",)
    readonly_fields = fields = ("user", "confirmed_at", "created_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Made by each for oneself."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: SecondFactor | None = None) -> bool:
        """Made by each for oneself."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: SecondFactor | None = None) -> bool:
        """Of those below: one's own goes with a code, a superuser's is a superuser's to take."""
        if obj is not None:
            is_own = obj.user_id == request.user.pk
            if is_own or not roles.may_manage(request.user, obj.user):
                return False
        return super().has_delete_permission(request, obj)


admin.site.unregister(User)
admin.site.register(User, PersonAdmin)
admin.site.unregister(Group)
admin.site.register(Group, RoleAdmin)
