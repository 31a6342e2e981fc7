"""Every model admin of the console writes what it does to the audit log as well.

Django's own history (`LogEntry`) can be edited and goes with the account; this cannot.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import ModelAdmin
from django.db.models import Model
from django.http import HttpRequest

from console import audit


class Audited:
    """Put before a `ModelAdmin`: the hooks through which all of its changes go.

    One that has `audited_values(row)` has those written down as they were and became.
    """

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        """What it was before, which is gone once it is saved."""
        if change:
            obj.audited_before = self._values(obj)  # type: ignore[attr-defined]
        super().save_model(request, obj, form, change)  # type: ignore[misc]

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        """A row was made."""
        audit.record(
            request.user, f"{_noun(obj)}.added", obj, **_said(message), **_given(self._values(obj))
        )
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> Any:
        """A row was changed."""
        before = getattr(obj, "audited_before", {})
        differences = _differences(before, self._values(obj) if before else {})
        audit.record(request.user, f"{_noun(obj)}.changed", obj, **_said(message), **differences)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: HttpRequest, queryset: Iterable[Model]) -> Any:
        """Rows are about to be deleted."""
        for obj in queryset:
            audit.record(request.user, f"{_noun(obj)}.deleted", obj)
        return super().log_deletions(request, queryset)  # type: ignore[misc]

    def _values(self, obj: Model) -> dict[str, Any]:
        values_of = getattr(self, "audited_values", None)
        return values_of(type(obj)._default_manager.get(pk=obj.pk)) if values_of else {}


def audited(admin_class: type[ModelAdmin[Any]]) -> type[ModelAdmin[Any]]:
    """The same admin class, writing to the audit log; unless it does so by itself, with
    `audits_itself`, to say more.
    """
    if issubclass(admin_class, Audited) or getattr(admin_class, "audits_itself", False):
        return admin_class
    return type(admin_class.__name__, (Audited, admin_class), {"__doc__": admin_class.__doc__})


def _noun(obj: Model) -> str:
    return str(obj._meta.model_name)


def _said(message: Any) -> dict[str, Any]:
    """What changed, by name: values may be secret."""
    return {"message": message} if message else {}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _differences(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"old": old, "new": after[name]} for name, old in before.items() if old != after[name]
    }
