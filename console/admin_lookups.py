"""What a list of the console may be narrowed and sorted by: what it offers, and nothing else.

Django takes any column of a list's own table from the query string, so that what is in no list,
such as a hash, could be read letter by letter: by whether its row is still listed.
It also sorts by any column shown, whatever `sortable_by` says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.views.main import ChangeList
from django.http import HttpRequest


class Narrowed:
    """Put before a `ModelAdmin`, which may name `further_lookups`."""

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Whether the query string may say this."""
        filters = _names_of(self.get_list_filter(request))  # type: ignore[attr-defined]
        known = [*filters, *getattr(self, "further_lookups", ()), "id", "pk"]
        if not any(lookup == name or lookup.startswith(f"{name}__") for name in known):
            return False
        return bool(super().lookup_allowed(lookup, value, request))  # type: ignore[misc]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """A list that is sorted only by what it offers."""
        given: type[ChangeList] = super().get_changelist(request, **kwargs)  # type: ignore[misc]
        return type(given.__name__, (_Sorted, given), {"__doc__": given.__doc__})


class _Sorted:
    """Put before a `ChangeList`."""

    def get_ordering_field(self, field_name: Any) -> Any:
        """What a column is sorted by; None: it is not."""
        if field_name not in self.sortable_by:  # type: ignore[attr-defined]
            return None
        return super().get_ordering_field(field_name)  # type: ignore[misc]


def narrowed(admin_class: type[ModelAdmin[Any]]) -> type[ModelAdmin[Any]]:
    """The same admin class, whose list is narrowed and sorted by what it offers alone."""
    return type(admin_class.__name__, (Narrowed, admin_class), {"__doc__": admin_class.__doc__})


def _names_of(filters: Any) -> Iterator[str]:
    """The parameters of filters, as `list_filter` has them."""
    for each in filters:
        if isinstance(each, str):
            yield each
        elif isinstance(each, (list, tuple)):
            yield each[0]
        else:
            yield each.parameter_name
