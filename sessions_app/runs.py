"""The database side of one run: claimed by a process, concluded once.

All functions here are sync, and each is one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, Value
from django.db.models.functions import Greatest
from django.utils import timezone

from claudeapi.core import errors
from claudeapi.core.process import PROCESS_ID
from keys_app import budgets
from sessions_app import agents, eventlog, homes, money, payloads, runstats, switch
from sessions_app.engines.events import THINKING, Usage
from sessions_app.hub import Event
from sessions_app.models import (
    UNFINISHED,
    Approval,
    ApprovalStatus,
    Message,
    Run,
    RunStatus,
    Session,
)

KEY_REVOKED = "key_revoked"
INTERRUPTED = "interrupted"
REFUSED = (400, 413)
"""The upstream's status where it is what was said that it does not take."""
LOST = "lost"
SMALLEST_COST = Decimal("0.00000001")
CLAIMED_FIELDS = ("status", "owner", "started_at", "first_event_id", "cancel_reason")


@dataclass(slots=True)
class Claim:
    """A run this process now drives, with all it needs to know for it."""

    run: Run
    session: Session
    start: int
    limit: int
    config: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        begun: the engine saw its message; else it was stopped while it waited its turn.
    """

    status: str
    error: errors.ApiError | None = None
    response: str = ""
    stop_reason: str = ""
    usage: Usage = field(default_factory=Usage)
    cost_usd: Decimal = Decimal(0)
    model: str = ""
    first_delta_at: datetime | None = None
    begun: bool = True


def claim_next(session_id: UUID) -> Claim | None:
    """Take the session's oldest queued run, unless one is live or operators hold all back."""
    queued = Run.objects.filter(session_id=session_id, status=RunStatus.QUEUED)
    if switch.holds_queued_runs():
        queued = queued.exclude(cancel_reason="")  # what shall stop, stops all the same
    # Mostly there is none: that must not cost a write transaction after every run.
    if not queued.exists():
        return None
    try:
        with transaction.atomic():
            session = (
                Session.objects.select_for_update(of=("self",))
                .select_related("key")
                .get(pk=session_id)
            )
            run = queued.select_for_update().in_turn().first()
            if run is None or session.runs.live().exists():
                return None
            start, limit = eventlog.acquire(session_id, run.id)
            if session.key.revoked_at is not None:
                run.cancel_reason = run.cancel_reason or KEY_REVOKED
            run.status, run.owner, run.started_at = RunStatus.RUNNING, PROCESS_ID, timezone.now()
            run.first_event_id = start
            run.save(update_fields=CLAIMED_FIELDS)
            config = agents.turn_config(session)
            if session.engine == agents.CLAUDE_CODE and (last := homes.last_driver(session, run)):
                config["moved"] = last != PROCESS_ID
                others = homes.other_holders(session, run)
                transaction.on_commit(lambda: homes.tell_holders(others, session_id))
            return Claim(run, session, start, limit, config)
    except (IntegrityError, Session.DoesNotExist):
        return None  # another process was first, or it was removed


def cancellation(reason: str) -> errors.ApiError:
    """How a run ends that was told to stop."""
    if reason == "timeout":
        return errors.RequestTimeout()
    return errors.RunCancelled(details={"reason": reason})


def keep_mode(session_id: UUID, mode: str) -> None:
    """The agent has changed its permission mode, with somebody's yes: it stays so."""
    with transaction.atomic():
        session = Session.objects.select_for_update().get(pk=session_id)
        session.config = {**session.config, "permissionMode": mode}
        session.save(update_fields=["config"])


def cancel_reasons(run_ids: Collection[UUID]) -> dict[UUID, str]:
    """Why runs shall stop, for those that shall: `LOST` where another process has ended it."""
    rows = Run.objects.filter(pk__in=run_ids).values_list("pk", "cancel_reason", "status")
    return {
        run_id: reason or LOST
        for run_id, reason, status in rows
        if reason or status not in UNFINISHED
    }


def lock(run_id: UUID) -> None:
    """Hold a run's row, until the end of the caller's transaction."""
    Run.objects.select_for_update().only("pk").get(pk=run_id)


def set_waiting(run_id: UUID, waiting: bool) -> None:
    """Show that a run waits for an approval, or works again. Inside a transaction."""
    lock(run_id)
    old, new = (RunStatus.RUNNING, RunStatus.WAITING)
    if not waiting:
        old, new = new, old
    Run.objects.filter(pk=run_id, status=old).update(status=new)


def conclude(
    claim: Claim,
    outcome: Outcome,
    encoder: payloads.Encoder,
    events: Sequence[Event],
    messages: Sequence[Message],
    last: int,
    acts: Sequence[Callable[[], None]] = (),
) -> Event:
    """Write a run's end: its last events, its row, and all sums, in one transaction.

    Args:
        acts: what belongs to those events.

    Returns:
        The run's last event, `complete` or `error`, numbered `last + 1`.

    Raises:
        LostOwnership: another process has ended it as lost.
    """
    run, now = claim.run, timezone.now()
    with transaction.atomic():
        session = Session.objects.get(pk=claim.session.id)
        _fill(run, session, outcome, now)
        run.last_event_id = last + 1
        eventlog.release(session.id, run.id, last + 1, **_sums(session, run, now))
        event = (
            encoder.complete(last + 1, run, session.claude_session_id)
            if run.status == RunStatus.COMPLETED
            else encoder.error(last + 1, run)
        )
        eventlog.store(session.id, [*events, event], messages)
        for act in acts:
            act()
        run.save(update_fields=ENDED_FIELDS)
        _mark_unanswered(run, outcome)
        _close_approvals(run.id)
        record(session, run, now)
    return event


ENDED_FIELDS = (
    "status",
    "started_at",
    "finished_at",
    "first_delta_at",
    "last_event_id",
    "stop_reason",
    "response",
    "error",
    "model",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_creation_tokens",
    "cost_usd",
)


def _fill(run: Run, session: Session, outcome: Outcome, now: datetime) -> None:
    run.status = outcome.status
    run.finished_at = now
    run.started_at = run.started_at if outcome.begun else None
    run.first_delta_at = outcome.first_delta_at
    run.stop_reason = _text(outcome.stop_reason)[:64]
    run.response = _text(outcome.response)
    run.model = _text(outcome.model)[:128] or run.model
    run.input_tokens = max(0, outcome.usage.input_tokens)
    run.output_tokens = max(0, outcome.usage.output_tokens)
    run.cache_read_tokens = max(0, outcome.usage.cache_read_tokens)
    run.cache_creation_tokens = max(0, outcome.usage.cache_creation_tokens)
    run.cost_usd = outcome.cost_usd.quantize(SMALLEST_COST)  # told as it is kept
    run.error = _kept(outcome.error, session, run) if outcome.error else None


def _text(said: object) -> str:
    """As a text that PostgreSQL takes, whatever the upstream has said."""
    return str(said or "").replace("\x00", "\ufffd")


def _kept(error: errors.ApiError, session: Session, run: Run) -> dict[str, Any]:
    """What a run keeps of its error, so that later answers can still say when to retry."""
    body = errors.body(error)
    if isinstance(error, errors.BudgetExceeded):
        body["details"] = {**body["details"], **money.figures(error, session, run)}
    if error.retry_after is not None:
        body["details"] = {**body["details"], "retryAfter": error.retry_after}
    return body


def _sums(session: Session, run: Run, now: datetime) -> dict[str, Any]:
    """What a run's end changes in its session's row."""
    return {
        "last_activity": now,
        # An operator may have extended it meanwhile.
        "expires_at": Greatest(F("expires_at"), Value(session.lifetime(now))),
        "input_tokens": F("input_tokens") + run.input_tokens,
        "output_tokens": F("output_tokens") + run.output_tokens,
        "cache_read_tokens": F("cache_read_tokens") + run.cache_read_tokens,
        "cache_creation_tokens": F("cache_creation_tokens") + run.cache_creation_tokens,
        "cost_usd": F("cost_usd") + run.cost_usd,
    }


def _mark_unanswered(run: Run, outcome: Outcome) -> None:
    """Leave what got no reply out of what the model is told.

    A prompt that was interrupted stays: who interrupts adds to what was asked, or takes it back.
    But what the upstream refuses it would refuse for ever, whichever of them it was: then all go
    that have come since the last reply.
    """
    said = Message.objects.filter(run_id=run.id)
    if run.status == RunStatus.COMPLETED or any(map(_is_reply, said.filter(type="assistant"))):
        return
    details = outcome.error.details if outcome.error else {}
    if outcome.begun and details.get("reason") == INTERRUPTED:
        return
    if isinstance(outcome.error, errors.UpstreamRejected) and details.get("status") in REFUSED:
        of_session = Message.objects.filter(session_id=run.session_id)
        replies = of_session.filter(type="assistant").order_by("-sequence")
        last = replies.values_list("sequence", flat=True).first() or 0
        said = of_session.filter(type="user", sequence__gt=last)
    said.update(unanswered=True)


def _is_reply(message: Message) -> bool:
    """Whether there is more in it than thinking, which is not sent again."""
    content = message.content["message"]["content"]
    return any(block.get("type") not in THINKING for block in content)


def record(session: Session, run: Run, now: datetime) -> None:
    """Add a run that has ended to all sums. Inside the transaction that ends it."""
    model = run.model or session.model
    runstats.record(run, session.engine, model, now)
    budgets.record(
        key_id=run.key_id,
        engine=session.engine,
        model=model,
        input_tokens=run.input_tokens,
        output_tokens=run.output_tokens,
        cache_read_tokens=run.cache_read_tokens,
        cache_creation_tokens=run.cache_creation_tokens,
        cost_usd=run.cost_usd,
        at=now,
    )


def _close_approvals(run_id: UUID) -> None:
    Approval.objects.filter(run_id=run_id, status=ApprovalStatus.PENDING).update(
        status=ApprovalStatus.CANCELLED, decided_at=timezone.now()
    )
