"""Filters of the lists of keys and of usage: fixed choices, so that none reads a whole table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.http import HttpRequest
from django.utils import timezone

from console.keys import states
from console.keys.finding import find
from sessions_app.actions.lookup import as_uuid
from sessions_app.engines import registry

Choices = list[tuple[str, str]]


class StateFilter(SimpleListFilter):
    """By whether the key still works, and what an operator should look at."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        """The choices."""
        return list(states.STATES.items())

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """The keys in the chosen state."""
        return states.in_state(queryset, self.value())


class PeriodFilter(SimpleListFilter):
    """By when it was used, in days and months of UTC."""

    title = "period"
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        """The choices."""
        return [
            ("today", "Today"),
            ("7d", "Last 7 days"),
            ("30d", "Last 30 days"),
            ("month", "This month"),
            ("last-month", "Last month"),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """What was used in the chosen period."""
        if not self.value():
            return queryset
        bounds = period(self.value())
        return (
            queryset.filter(hour__gte=bounds[0], hour__lt=bounds[1]) if bounds else queryset.none()
        )


def period(name: str | None, now: datetime | None = None) -> tuple[datetime, datetime] | None:
    """From and until, in UTC; None for no or an unknown one."""
    today = (now or timezone.now()).astimezone(UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )  # fmt: skip
    tomorrow, month = today + timedelta(days=1), today.replace(day=1)
    return {
        "today": (today, tomorrow),
        "7d": (tomorrow - timedelta(days=7), tomorrow),
        "30d": (tomorrow - timedelta(days=30), tomorrow),
        "month": (month, tomorrow),
        "last-month": ((month - timedelta(days=1)).replace(day=1), month),
    }.get(name or "")


class EngineFilter(SimpleListFilter):
    """By engine, of those that this server has."""

    title = "engine"
    parameter_name = "engine"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        """The choices."""
        return [(name, name) for name in registry.names()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """What was used of the chosen engine."""
        return queryset.filter(engine=self.value()) if self.value() else queryset


class ModelFilter(SimpleListFilter):
    """By one model, come to from a line of the list: they are not known without reading all."""

    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        """The model that is chosen."""
        return [(self.value() or "", self.value() or "")] if self.value() else []

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """What was used of the chosen model."""
        return queryset.filter(model=self.value()) if self.value() else queryset


class KeyFilter(SimpleListFilter):
    """By one key, come to from the key's own page: there may be too many to list."""

    title = "key"
    parameter_name = "key"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> Choices:
        """The key that is chosen. What is no key is shown too: a filter unseen filters nothing."""
        chosen = self.value()
        if not chosen:
            return []
        key = find(chosen)
        return [(chosen, str(key) if key else "no such key")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """What the key used; nothing for what is no key."""
        return queryset.filter(key=as_uuid(self.value())) if self.value() else queryset
