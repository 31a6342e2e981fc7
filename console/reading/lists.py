"""Lists of big tables: one page at a time, at a bounded cost.

Nothing is counted and nothing is skipped over. Filters that no index serves look through the
newest `SCANNED` rows only, and the page says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db.models import Model, Q, QuerySet

from claudeapi.core.errors import InvalidRequest
from sessions_app.api.pages import page

PAGE = 50
SCANNED = 5_000
LONG = ("system_prompt", "append_system_prompt", "metadata")
"""What may be long in a session, and is in no list."""
LONG_IN_ITS_SESSION = tuple(f"session__{name}" for name in LONG)
NOBODY = UUID(int=0)
"""An id that no row has: what is no id at all finds nothing."""

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list is narrowed to; empty strings leave it as it is.

    Attributes:
        q: an id, a key's name or public part, a request id, or words of a title or tool.
        key: a key's id.
        status, engine, model, session: exact values.
        since: how far back, as a list offers it.
        cursor: where the page begins.
    """

    q: str = ""
    key: str = ""
    status: str = ""
    engine: str = ""
    model: str = ""
    session: str = ""
    since: str = ""
    cursor: str = ""

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> Filters:
        """From a query string."""
        return cls(**{name: _plain(query.get(name, "")) for name in cls.__slots__})

    @property
    def chosen(self) -> dict[str, str]:
        """Those that are set, but for the page's place."""
        values = {name: getattr(self, name) for name in self.__slots__ if name != "cursor"}
        return {name: value for name, value in values.items() if value}


def _plain(value: object) -> str:
    """A text that a database can be asked for: PostgreSQL refuses NUL."""
    return str(value).replace("\x00", "").strip()[:200]


@dataclass(frozen=True, slots=True)
class Listed(Generic[M]):
    """One page.

    Attributes:
        next: the cursor of the page after it.
        is_partial: only the newest `SCANNED` rows were looked through.
    """

    rows: Sequence[M]
    next: str = ""
    is_partial: bool = False


def page_of(
    rows: QuerySet[M],
    moment: str,
    narrow: Q,
    cursor: str,
    related: tuple[str, ...],
    unshown: tuple[str, ...],
) -> Listed[M]:
    """The page that begins at a cursor, the newest first.

    Args:
        moment: the field that says how new a row is.
        narrow: conditions that no index serves.
        related: what each row needs of others.
        unshown: fields that the list does without.
    """
    if narrow:
        newest = rows.order_by(f"-{moment}", "-pk").values("pk")[:SCANNED]
        rows = rows.model._default_manager.filter(narrow, pk__in=newest)
    rows = rows.select_related(*related).defer(*unshown)
    try:
        found, following = page(rows, moment, PAGE, cursor or None)
    except InvalidRequest:
        found, following = page(rows, moment, PAGE, None)
    return Listed(found, following or "", bool(narrow))
