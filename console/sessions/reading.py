"""What a session's page shows, in a bounded number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q
from django.http import Http404

from console.sessions.blocks import calls_of, unanswered
from console.sessions.conversation import Turn, turns
from sessions_app.actions.messages import recover_if_orphaned
from sessions_app.models import Approval, ApprovalStatus, Message, Run, Session

MESSAGES = 100
FORKS = 50
RUN_MESSAGES = 400
LOOKED_AHEAD = 50
CALLS = 1_000


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
    found = rows.filter(pk=session_id).first()
    if found is None:
        raise Http404("There is no such session.")
    return found


def conversation(session: Session, before: int = 0) -> Conversation:
    """The newest messages, or those before a number, in their runs."""
    rows = Message.objects.filter(session=session)
    if before:
        rows = rows.filter(sequence__lt=before)
    newest = list(rows.order_by("-sequence")[: MESSAGES + 1])
    earlier = newest[MESSAGES - 1].sequence if len(newest) > MESSAGES else 0
    messages = newest[:MESSAGES][::-1]
    ids = {message.run_id for message in messages if message.run_id}
    of_these = Q(pk__in=ids)
    if not before:
        silent = Run.objects.filter(session=session).order_by("-created_at").values("pk")[:20]
        of_these |= Q(pk__in=silent, messages=None)
    runs = list(Run.objects.filter(of_these, session=session).defer("response"))
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
    return list(behind.order_by("sequence")[:LOOKED_AHEAD])


def one_turn(session: Session, run_id: UUID) -> Turn:
    """One run and its messages.

    Raises:
        Http404: it is not a run of this session.
    """
    run = Run.objects.filter(session=session, pk=run_id).first()
    if run is None:
        raise Http404("There is no such run.")
    newest = Message.objects.filter(session=session, run=run).order_by("-sequence")[:RUN_MESSAGES]
    return _with_questions(session, list(newest)[::-1], [run])[0]


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
    return list(Session.objects.filter(forked_from=session).order_by("-created_at")[:FORKS])
