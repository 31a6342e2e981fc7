"""A whole session as a file: JSON for programs, Markdown for people.

Never in memory at once: rows are read as far as a bound of characters goes, and sent one by one.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, TypeVar
from uuid import UUID

import orjson
from django.db.models import Q, Value
from django.db.models.functions import Coalesce, Length
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.views.decorators.http import require_GET

from claudeapi.core.database import in_db
from claudeapi.core.errors import timestamp
from console import audit, roles
from console.reading.text import line, pretty
from console.sessions import reading
from console.sessions.blocks import blocks_of, output_of
from keys_app.budgets import money
from sessions_app import payloads
from sessions_app.api import representations as show
from sessions_app.models import Approval, Message, Run, Session

PAGE = 200
PAGE_CHARACTERS = 2_000_000
Row = TypeVar("Row", Message, Run, Approval)
Shown = Callable[[Any], dict[str, Any]]

_ORDERS: dict[type, tuple[str, ...]] = {
    Message: ("sequence",),
    Run: ("created_at", "pk"),
    Approval: ("created_at", "pk"),
}
# What may be long in a row, and what of it is not in the file.
_HEAVY: dict[type, tuple[str, ...]] = {
    Message: ("content",),
    Run: ("error",),
    Approval: ("input", "updated_input", "message"),
}
_NOT_EXPORTED: dict[type, tuple[str, ...]] = {
    Message: (),
    Run: ("prompt", "response"),
    Approval: (),
}

KINDS = {"json": "application/json", "md": "text/markdown; charset=utf-8"}


@require_GET
@roles.needs(roles.EXPORT_SESSIONS)
def export(request: HttpRequest, session_id: UUID, kind: str) -> StreamingHttpResponse:
    """Send the session as a file."""
    if kind not in KINDS:
        raise Http404("There is no such format.")
    session = reading.find(session_id)
    audit.record(request.user, "session.exported", session, format=kind)
    content = as_json(session) if kind == "json" else as_markdown(session)
    response = StreamingHttpResponse(content, content_type=KINDS[kind])
    response["Content-Disposition"] = f'attachment; filename="session-{session.pk}.{kind}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


async def as_json(session: Session) -> AsyncIterator[bytes]:
    """The session, its runs, messages and approvals, as the API shows them."""
    yield b'{"session":' + orjson.dumps(await in_db(show.detail, session))
    parts: tuple[tuple[str, type[Any], Shown], ...] = (
        ("runs", Run, show.run),
        ("messages", Message, show.message),
        ("approvals", Approval, payloads.approval),
    )
    for name, kind, shown in parts:
        yield b',"%b":[' % name.encode()
        comma, after, rows_after = b"", None, rows_of(kind, session)
        while rows := await in_db(rows_after, after):
            for row in rows:
                yield comma + orjson.dumps(shown(row), default=str)
                comma, after = b",", row
        yield b"]"
    yield b"}\n"


async def as_markdown(session: Session) -> AsyncIterator[bytes]:
    """The conversation as a document."""
    yield (await in_db(_head, session)).encode()
    after, run_id, rows_after = None, None, rows_of(Message, session)
    while rows := await in_db(rows_after, after):
        runs = await in_db(_runs_of, {row.run_id for row in rows if row.run_id})
        for row in rows:
            if row.run_id and row.run_id != run_id:
                run_id = row.run_id
                yield _run_head(runs[run_id]).encode("utf-8", "replace")
            yield "".join(_message(row)).encode("utf-8", "replace")
        after = rows[-1]

    async for piece in _approvals(session):
        yield piece.encode("utf-8", "replace")


async def _approvals(session: Session) -> AsyncIterator[str]:
    """What was asked, who answered it, and with what."""
    after, rows_after = None, rows_of(Approval, session)
    while rows := await in_db(rows_after, after):
        if after is None:
            yield "\n---\n\n## Approvals\n\n"
        for row in rows:
            yield _approval(row)
        after = rows[-1]


def _approval(row: Approval) -> str:
    by = f" by {line(row.decided_by)}, {timestamp(row.decided_at)}" if row.decided_at else ""
    told = f": {line(row.message, 500)}" if row.message else ""
    scope = " for the session" if row.scope == "session" else ""
    said = f"- {line(row.tool_name)}, {timestamp(row.created_at)}: {row.status}{scope}{by}{told}\n"
    if not row.has_changed_input:
        return said
    changed = fenced(pretty(row.updated_input), "json")
    return f"{said}\nIt was allowed with this input:\n\n{changed}\n\n"


def _head(session: Session) -> str:
    facts = {
        "Session": session.pk,
        "Key": session.key,
        "Engine": session.engine,
        "Model": session.model,
        "Status": session.current_status,
        "Created": timestamp(session.created_at),
        "Last activity": timestamp(session.last_activity),
        "Cost": f"{money(session.cost_usd)} USD",
    }
    told = "".join(f"- {name}: {line(value)}\n" for name, value in facts.items())
    return f"# {line(session.title or 'Session')}\n\n{told}"


def _run_head(run: Run) -> str:
    error = f"\n\nError: {line(run.error.get('message', ''))}" if run.error else ""
    return (
        f"\n---\n\nRun {run.pk}: {run.status}, {timestamp(run.created_at)}, "
        f"{run.input_tokens} + {run.output_tokens} tokens, {money(run.cost_usd)} USD{error}\n"
    )


def _message(row: Message) -> Iterable[str]:
    if row.type not in ("assistant", "user"):
        return
    told = [text for block in blocks_of(row.content) if (text := _block(block))]
    if told:
        who = "User" if row.source == "user" else row.type.capitalize()
        yield f"\n## {who}, {timestamp(row.created_at)}\n\n"
        yield "\n\n".join(told) + "\n"


def _block(block: dict[str, Any]) -> str:
    kind = block.get("type")
    if kind == "text":
        return str(block.get("text", ""))
    if kind == "thinking":
        return "> " + str(block.get("thinking", "")).replace("\n", "\n> ")
    if kind == "tool_use":
        given = orjson.dumps(block.get("input"), option=orjson.OPT_INDENT_2, default=str).decode()
        return f"Tool call: {line(block.get('name', ''))}\n\n{fenced(given, 'json')}"
    if kind == "tool_result":
        outcome = "failed" if block.get("is_error") else "done"
        return f"Tool result ({outcome}):\n\n{fenced(output_of(block))}"
    return f"[{line(kind)}]"


def fenced(text: str, language: str = "") -> str:
    """A code block that its own content cannot end."""
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def rows_of(kind: type[Row], session: Session) -> Callable[[Row | None], list[Row]]:
    """Reads the rows of a session in order: those after one of them, none at the end.

    Never more of them at once than `PAGE`, nor than `PAGE_CHARACTERS` hold, but for a single
    row that is longer.
    """
    order, heavy = _ORDERS[kind], _HEAVY[kind]
    size = sum((Coalesce(Length(name), 0) for name in heavy), start=Value(0))

    def rows_after(after: Row | None) -> list[Row]:
        rows = kind._default_manager.filter(session=session).order_by(*order)
        if after is not None:
            rows = rows.filter(_behind(order, after))
        found = rows.annotate(size=size).values_list("pk", "size")[:PAGE]
        chosen: list[UUID] = []
        room = PAGE_CHARACTERS
        for pk, length in found:
            room -= length
            if chosen and room < 0:
                break
            chosen.append(pk)
        return list(rows.filter(pk__in=chosen).defer(*_NOT_EXPORTED[kind]))

    return rows_after


def _behind(order: tuple[str, ...], after: Row) -> Q:
    """What comes after a row in this order, so that an index serves."""
    first = order[0]
    at = getattr(after, first)
    if len(order) == 1:
        return Q(**{f"{first}__gt": at})
    return Q(**{f"{first}__gte": at}) & ~Q(**{first: at, "pk__lte": after.pk})


def _runs_of(ids: set[UUID]) -> dict[UUID, Run]:
    return Run.objects.defer("prompt", "response").in_bulk(ids)
