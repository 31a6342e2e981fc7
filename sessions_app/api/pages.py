"""Pages of lists: an opaque cursor over (moment, id), newest first."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson
from django.db.models import Model, QuerySet
from django.db.models.functions import Length

from claudeapi.core.errors import InvalidRequest

PAGE_BYTES = 16 * 2**20

M = TypeVar("M", bound=Model)


def page(
    rows: QuerySet[M], moment: str, limit: int, cursor: str | None
) -> tuple[Sequence[M], str | None]:
    """One page and the cursor of the next.

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


def slice_of(rows: QuerySet[M], large: str, offset: int, limit: int) -> list[M]:
    """Rows from an offset on: at most `limit`, and of `PAGE_BYTES` at most, but always one.

    Args:
        large: the name of the field that makes rows large.
    """
    sizes = rows.annotate(size=Length(large)).values_list("size", flat=True)
    count, room = 0, PAGE_BYTES
    for size in sizes[offset : offset + limit]:
        room -= size
        if count and room < 0:
            break
        count += 1
    return list(rows[offset : offset + count])


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
