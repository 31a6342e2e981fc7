"""Usage as CSV: streamed, so that it may be as long as it likes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from claudeapi.core.database import in_db
from console import audit, roles, spreadsheet
from keys_app.budgets import money
from keys_app.models import ApiKey, UsageSum

USED = (
    "engine", "model", "runs", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_creation_tokens", "cost_usd",
)  # fmt: skip
COLUMNS = ("hour", "key_id", "key", "key_name", *USED)
PAGE = 1000


def export(request: HttpRequest, rows: QuerySet[UsageSum], **told: Any) -> StreamingHttpResponse:
    """The rows as a download, the newest first.

    Args:
        told: which rows these are, for the audit log.

    Raises:
        PermissionDenied: the role does not include it.
    """
    roles.require(request.user, roles.EXPORT_USAGE)
    audit.record(request.user, "usage.exported", **told)
    response = StreamingHttpResponse(_lines(rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="usage.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


async def _lines(rows: QuerySet[UsageSum]) -> AsyncIterator[str]:
    """A page of lines at a time; one database thread for a moment each, never for the whole."""
    yield spreadsheet.line(COLUMNS)
    after: _Place | None = None
    names: dict[UUID, tuple[str, str]] = {}
    while page := await in_db(_page, rows, after, names):
        yield "".join(page.lines)
        after = page.last


@dataclass(frozen=True, slots=True)
class _Place:
    hour: datetime
    pk: int


@dataclass(frozen=True, slots=True)
class _Page:
    lines: list[str]
    last: _Place


def _page(
    rows: QuerySet[UsageSum], after: _Place | None, names: dict[UUID, tuple[str, str]]
) -> _Page | None:
    """The next lines, without model objects: those would take ten times as long.

    Args:
        names: prefix and name of the keys met so far; new ones are added.
    """
    if after is not None:
        later = Q(hour__lt=after.hour) | Q(pk__lt=after.pk)
        rows = rows.filter(later, hour__lte=after.hour)
    found = list(rows.order_by("-hour", "-id").values_list("pk", "hour", "key_id", *USED)[:PAGE])
    if not found:
        return None
    unknown = {key_id for _, _, key_id, *_ in found} - names.keys()
    for key in ApiKey.objects.filter(pk__in=unknown):
        names[key.pk] = (key.prefix, key.name)
    lines = [
        spreadsheet.line([hour, key_id, *names[key_id], *used, money(cost)])
        for _, hour, key_id, *used, cost in found
    ]
    return _Page(lines, _Place(found[-1][1], found[-1][0]))
