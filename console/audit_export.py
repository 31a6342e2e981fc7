"""The audit log as a file: CSV or JSON, streamed, itself an entry of the log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import SuspiciousOperation
from django.db.models import Q
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path

from claudeapi.core.database import in_db
from console import audit, roles, spreadsheet
from console.models import AuditEntry

FIELDS = (
    "at", "actor", "address", "verb", "target_type", "target_id", "target", "details", "request_id",
)  # fmt: skip
MOST = 100_000
PAGE = 1000
KINDS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}

Row = dict[str, Any]


def patterns(model_admin: ModelAdmin[AuditEntry]) -> list[Any]:
    """`export/csv/` and `export/json/`, with the filters of the list as the query."""

    @roles.needs(roles.EXPORT_AUDIT)
    def view(request: HttpRequest, kind: str) -> StreamingHttpResponse:
        # The list itself reads filters and search, so that both always agree.
        try:
            changes = model_admin.get_changelist_instance(request)
        except IncorrectLookupParameters as error:
            raise SuspiciousOperation("no such filter") from error
        return export(request, changes.get_queryset(request), kind)

    guarded = model_admin.admin_site.admin_view(view)
    return [
        path(f"export/{kind}/", guarded, {"kind": kind}, name=f"console_audit_{kind}")
        for kind in KINDS
    ]


def export(request: HttpRequest, entries: Any, kind: str) -> StreamingHttpResponse:
    """The entries as a download, the newest first, at most `MOST`.

    Raises:
        PermissionDenied: the role does not include it.
        SuspiciousOperation: there is no such kind.
    """
    roles.require(request.user, roles.EXPORT_AUDIT)
    if kind not in KINDS:
        raise SuspiciousOperation("unknown kind of export")
    # What is written from now on, this export among it, is not in it: else it had no end.
    newest = entries.order_by("-at", "-id").values_list("at", "id").first()
    audit.record(request.user, "audit.exported", kind=kind, filters=request.GET.urlencode()[:500])
    shown, pages = (_csv if kind == "csv" else _json), _pages(entries, newest)
    response = StreamingHttpResponse(shown(pages), content_type=KINDS[kind])
    response["Content-Disposition"] = f'attachment; filename="audit.{kind}"'
    return response


async def _pages(entries: Any, newest: tuple[Any, int] | None) -> AsyncIterator[list[Row]]:
    """A page of rows at a time, never all of them in memory."""
    rows = entries.order_by("-at", "-id").values("id", *FIELDS)
    sent, place = 0, newest
    while place is not None and sent < MOST:
        size = min(PAGE, MOST - sent)
        page = await in_db(list, rows.filter(_up_to(*place))[: size + 1])
        following = page[size:]
        place = (following[0]["at"], following[0]["id"]) if following else None
        sent += size
        yield page[:size]


def _up_to(at: Any, pk: int) -> Q:
    return Q(at__lt=at) | Q(at=at, id__lte=pk)


async def _csv(pages: AsyncIterator[list[Row]]) -> AsyncIterator[str]:
    yield spreadsheet.line(FIELDS)
    async for page in pages:
        yield "".join(spreadsheet.line([row[name] for name in FIELDS]) for row in page)


async def _json(pages: AsyncIterator[list[Row]]) -> AsyncIterator[str]:
    before = "["
    async for page in pages:
        for row in page:
            shown = {name: row[name] for name in FIELDS} | {"at": row["at"].isoformat()}
            yield before + "\n" + json.dumps(shown, default=str)
            before = ","
    yield "\n]\n" if before == "," else "[]\n"
