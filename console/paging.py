"""Pages of big tables without counting them: PostgreSQL and SQLite read every row for COUNT(*)."""

from __future__ import annotations

from typing import Any, cast

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

BOUND = 1000
"""Rows that are counted; beyond them a list says "more"."""


class EstimatingPaginator(Paginator[Any]):
    """Counts up to a bound; what lies behind is reached by filters and search."""

    @property
    def is_cut(self) -> bool:
        """Whether there may be more than were counted."""
        return self.count >= BOUND

    @cached_property
    def count(self) -> int:
        """How many rows there are, at most `BOUND`."""
        rows = cast("QuerySet[Any]", self.object_list)
        return len(rows.order_by().values_list("pk")[:BOUND])
