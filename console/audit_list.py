"""The list of the audit log: filters that read no more than they show, and ways to the rows."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html

from console.models import AuditEntry
from console.reading.lists import SCANNED

KINDS = {
    "sessions": ("Sessions and runs", ("session", "run", "playground")),
    "approvals": ("Approvals", ("approval",)),
    "keys": ("Keys", ("key", "apikey")),
    "service": ("Service", ("service",)),
    "people": ("People and roles", ("user", "group", "password", "second_factor", "secondfactor")),
    "signins": ("Signing in", ("signin",)),
    "exports": ("Exports", ("audit", "usage")),
}
"""What was done, by the nouns of its verbs: `session.ended`."""

PAGES = {
    "sessions_app.session": "console_session",
    "sessions_app.approval": "console_approval",
    "keys_app.apikey": "keys_app_apikey_change",
    "auth.user": "auth_user_change",
    "auth.group": "auth_group_change",
}
STAFF_SHOWN = 50
SEARCHES = (
    "A whole name, id or request id; or how a name or target begins, among the newest "
    f"{SCANNED:,} entries"
)


class WhatFilter(admin.SimpleListFilter):
    """By kind; the choices are fixed. One verb alone: `?verb=session.ended`."""

    title = "what was done"
    parameter_name = "what"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """All kinds."""
        return [(name, title) for name, (title, _) in KINDS.items()]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        """The entries of the chosen kind."""
        _, nouns = KINDS.get(self.value() or "", ("", ()))
        wanted = Q()
        for noun in nouns:
            wanted |= Q(verb__startswith=f"{noun}.")
        return queryset.filter(wanted)


class ActorFilter(admin.SimpleListFilter):
    """By member of staff: what strangers called themselves at the door is for the search."""

    title = "who did it"
    parameter_name = "actor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The staff there is, the first of them."""
        staff = User.objects.filter(is_staff=True).order_by("username")
        names = staff.values_list("username", flat=True)[:STAFF_SHOWN]
        return [(name, name) for name in names]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        """What the chosen one did."""
        return queryset.filter(actor=self.value()) if self.value() else queryset


def search(entries: QuerySet[AuditEntry], text: str) -> QuerySet[AuditEntry]:
    """Those that a text stands for: by an index, or among the newest where none serves."""
    if not text:
        return entries
    types = [model._meta.label_lower for model in apps.get_models()]
    whole = (Q(actor=text), Q(request_id=text), Q(target_type__in=types, target_id=text))
    # One after the other: for an OR of them, databases read every row in the list's order.
    found = [one for one in whole if AuditEntry.objects.filter(one).exists()]
    if found:
        return entries.filter(reduce(or_, found))
    newest = AuditEntry.objects.order_by("-at", "-id").values("pk")[:SCANNED]
    begins = Q(actor__startswith=text) | Q(target__startswith=text)
    return entries.filter(begins, pk__in=newest)


def target(entry: AuditEntry) -> str:
    """What it was done to, as a link where there is a page of it."""
    shown = entry.target or "-"
    try:
        url = reverse(f"admin:{PAGES[entry.target_type]}", args=[entry.target_id])
    except (KeyError, NoReverseMatch):
        return shown
    return format_html('<a href="{}">{}</a>', url, shown)
