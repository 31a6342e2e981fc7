"""What a session's page shows, in a bounded number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Length
from django.http import Http404

from console.reading.lists import LONG
from console.reading.names import prompts_of, words_of
from console.sessions.blocks import calls_of, unanswered
from console.sessions.conversation import Turn, turns
from sessions_app.actions.messages import recover_if_orphaned
from sessions_app.models import Approval, ApprovalStatus, Message, Run, Session

MESSAGES = 100
FORKS = 50
RUN_MESSAGES = 400
LOOKED_AHEAD = 50
CALLS = 1_000
SILENT = 20
ROOM = 4_000_000
"""Characters of messages that a page reads, and those of the longest that it shows."""
PROMPT = 400_000
"""Characters of the longest prompt that is shown whole of a run without messages."""
NO_TEXTS = ("prompt", "response")


@dataclass(frozen=True, slots=True)
class Conversation:
    """A stretch of a session's messages.

    Attributes:
        earlier: the number before which older messages begin; 0 for none.
        last: the number of the newest message there is: the live feed begins after it.
    """

    turns: Sequence[Turn]
    earlier: int
    last: int


def find(session_id: UUID) -> Session:
    """The session with its key and where it was forked from, its orphaned run ended first.

    Raises:
        Http404: there is none.
    """
    recover_if_orphaned(session_id)
    rows = Session.objects.select_related("key", "forked_from__forked_from__forked_from")
    rows = rows.defer(*(f"{'forked_from__' * step}{name}" for step in (1, 2, 3) for name in LONG))
    found = rows.filter(pk=session_id).first()
    if found is None:
        raise Http404("There is no such session.")
    return found


def conversation(session: Session, before: int = 0) -> Conversation:
    """The newest messages, or those before a number, in their runs."""
    rows = Message.objects.filter(session=session)
    if before:
        rows = rows.filter(sequence__lt=before)
    messages = _fitting(rows.order_by("-sequence"), MESSAGES)[::-1]
    first = messages[0].sequence if messages else 0
    earlier = first if rows.filter(sequence__lt=first).exists() else 0
    ids = {message.run_id for message in messages if message.run_id}
    runs = list(Run.objects.filter(session=session, pk__in=ids).defer(*NO_TEXTS))
    if not before:
        newest = Run.objects.filter(session=session).order_by("-created_at").values("pk")[:SILENT]
        runs += _with_prompts(Run.objects.filter(pk__in=newest, messages=None))
    last = messages[-1].sequence if messages and not before else 0
    later = _results_behind(session, messages) if before else []
    found = _with_questions(session, messages, runs, later)
    # The stretch may begin behind the last message of a run that anybody reads.
    if earlier and found and not found[0].entries:
        found = found[1:]
    return Conversation(found, earlier, last)


def _results_behind(session: Session, messages: Sequence[Message]) -> list[Message]:
    """What follows a stretch, as far as it may hold the results of the stretch's last calls."""
    runs = {run for run in unanswered(messages).values() if run is not None}
    if not runs:
        return []
    rows = Message.objects.filter(session=session, run__in=runs, type="user")
    behind = rows.filter(sequence__gt=messages[-1].sequence)
    return _fitting(behind.order_by("sequence"), LOOKED_AHEAD, ends_when_full=False)


def _fitting(rows: QuerySet[Message], limit: int, *, ends_when_full: bool = True) -> list[Message]:
    """The first of these, so many at most, as far as a page has room.

    One that is longer than the room is there without its content: `left_out` says how long.
    So are those for which no room is left, where these do not end with them.
    """
    chosen: list[UUID] = []
    too_long: dict[UUID, int] = {}
    room = ROOM
    for pk, size in rows.annotate(size=Length("content")).values_list("pk", "size")[:limit]:
        if size > ROOM or (size > room and not ends_when_full):
            too_long[pk] = size
        elif (room := room - size) < 0:
            break
        chosen.append(pk)
    found = Message.objects.in_bulk([pk for pk in chosen if pk not in too_long])
    found |= _without_content(too_long) if too_long else {}
    return [found[pk] for pk in chosen if pk in found]


def _without_content(sizes: Mapping[UUID, int]) -> dict[UUID, Message]:
    """Messages that a page has no room for; what a user said has its first words."""
    found = Message.objects.defer("content").in_bulk(sizes)
    said = [pk for pk, message in found.items() if message.source == message.type == "user"]
    words = words_of(said)
    for pk, message in found.items():
        message.content = {"message": {"content": _as_text(words.get(pk, ""))}}
        message.left_out = sizes[pk]  # type: ignore[attr-defined]
    return found


def _as_text(words: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": words}] if words else []


def _with_prompts(rows: QuerySet[Run]) -> list[Run]:
    """Runs and what they were asked; of what is too long the first words, and `left_out`."""
    found = list(rows.defer(*NO_TEXTS))
    sizes = dict(rows.annotate(size=Length("prompt")).values_list("pk", "size"))
    fit = [pk for pk, size in sizes.items() if size <= PROMPT]
    prompts = dict(Run.objects.filter(pk__in=fit).values_list("pk", "prompt"))
    words = prompts_of(sizes.keys() - prompts.keys())
    for run in found:
        run.prompt = prompts.get(run.pk) or _as_text(words.get(run.pk, ""))
        run.left_out = 0 if run.pk in prompts else sizes.get(run.pk, 0)  # type: ignore[attr-defined]
    return found


def one_turn(session: Session, run_id: UUID) -> Turn:
    """One run and its messages.

    Raises:
        Http404: it is not a run of this session.
    """
    rows = Run.objects.filter(session=session, pk=run_id)
    said = Message.objects.filter(session=session, run=run_id).order_by("-sequence")
    messages = _fitting(said, RUN_MESSAGES)[::-1]
    runs = list(rows.defer(*NO_TEXTS)) if messages else _with_prompts(rows)
    if not runs:
        raise Http404("There is no such run.")
    return _with_questions(session, messages, runs)[0]


def _with_questions(
    session: Session,
    messages: Sequence[Message],
    runs: Sequence[Run],
    later: Sequence[Message] = (),
) -> list[Turn]:
    calls = list(calls_of(messages))[:CALLS]
    asked = Approval.objects.filter(session=session, tool_use_id__in=calls) if calls else []
    waiting = _waiting(session, runs)
    found = turns(messages, runs, asked, later)
    for turn in found:
        if turn.run is not None:
            turn.waiting = [row for row in waiting if row.run_id == turn.run.pk]
    return found


def _waiting(session: Session, runs: Sequence[Run]) -> list[Approval]:
    """Every open question of these runs, however many were asked before."""
    unfinished = [run.pk for run in runs if not run.finished]
    if not unfinished:
        return []
    rows = Approval.objects.filter(run__in=unfinished, status=ApprovalStatus.PENDING)
    found = list(rows.order_by("created_at"))
    for row in found:
        row.session = session  # with its key, already here
    return found


def ancestors(session: Session) -> list[Session]:
    """Where it was forked from, the oldest first; three steps back at most."""
    found: list[Session] = []
    origin = session.forked_from
    while origin is not None and len(found) < 3:
        found.insert(0, origin)
        origin = origin.forked_from if len(found) < 3 else None
    return found


def forks(session: Session) -> list[Session]:
    """What was forked from it, newest first."""
    rows = Session.objects.filter(forked_from=session).order_by("-created_at")
    return list(rows.defer(*LONG)[:FORKS])
