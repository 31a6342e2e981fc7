"""Pages of lists: an opaque cursor over (moment, id)."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson
from django.db.models import Model, QuerySet, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce, Length

from claudeapi.core.errors import InvalidRequest

PAGE_BYTES = 16 * 2**20
PAGE_ROWS = 1000

M = TypeVar("M", bound=Model)


def page(
    rows: QuerySet[M], moment: str, limit: int, cursor: str | None
) -> tuple[Sequence[M], str | None]:
    """One page, newest first, and the cursor of the next.

    Args:
        moment: the name of the datetime field the list is ordered by.

    Raises:
        InvalidRequest: the cursor is not one of ours.
    """
    if cursor:
        at, identity = _decode(cursor)
        # Not `lt OR (eq AND …)`: an index can begin here, and not with an OR.
        rows = rows.filter(**{f"{moment}__lte": at}).exclude(**{moment: at, "pk__gte": identity})
    found = list(rows.order_by(f"-{moment}", "-pk")[: limit + 1])
    if len(found) <= limit:
        return found, None
    last: Any = found[limit - 1]
    return found[:limit], _encode(getattr(last, moment), last.pk)


def oldest_first(
    rows: QuerySet[M], moment: str, large: Sequence[str], cursor: str | None
) -> tuple[Sequence[M], str | None]:
    """As much as one page may hold, oldest first, and the cursor of the next, if there is one.

    Args:
        moment: the name of the datetime field the list is ordered by.
        large: the names of the fields that make rows large.

    Raises:
        InvalidRequest: the cursor is not one of ours.
    """
    if cursor:
        at, identity = _decode(cursor)
        rows = rows.filter(**{f"{moment}__gte": at}).exclude(**{moment: at, "pk__lte": identity})
    rows = rows.order_by(moment, "pk")
    size: Combinable = Value(0)
    for name in large:
        size = size + Coalesce(Length(name), 0)
    # Rows come and go meanwhile; whether there are more is told by the same look as how many fit.
    sizes = list(_sizes(rows, size)[: PAGE_ROWS + 1])
    fitting = _fitting(sizes[:PAGE_ROWS])
    found = list(rows[:fitting])
    if fitting == len(sizes) or not found:
        return found, None
    last: Any = found[-1]
    return found, _encode(getattr(last, moment), last.pk)


def slice_of(rows: QuerySet[M], large: str, offset: int, limit: int) -> list[M]:
    """Rows from an offset on: at most `limit`, and of `PAGE_BYTES` at most, but always one.

    Args:
        large: the name of the field that makes rows large.
    """
    count = _fitting(_sizes(rows, Length(large))[offset : offset + limit])
    return list(rows[offset : offset + count])


def _sizes(rows: QuerySet[M], size: Combinable) -> QuerySet[Any, Any]:
    return rows.annotate(size=size).values_list("size", flat=True)


def _fitting(sizes: Iterable[int]) -> int:
    """How many of the first rows one page may hold: always one, if there is one."""
    count, room = 0, PAGE_BYTES
    for needed in sizes:
        room -= needed
        if count and room < 0:
            break
        count += 1
    return count


def _encode(at: datetime, identity: UUID) -> str:
    text = orjson.dumps([at.isoformat(), str(identity)])
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _decode(cursor: str) -> tuple[datetime, UUID]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        at, identity = orjson.loads(text)
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError("no time zone")
        return moment.astimezone(UTC), UUID(identity)
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise InvalidRequest.field("cursor", "is not a cursor of this list.") from None
