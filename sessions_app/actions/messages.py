"""Messages: send one, cancel what runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from claudeapi.core import errors
from claudeapi.core.lifecycle import state
from claudeapi.core.process import PROCESS_ID
from keys_app.models import ApiKey
from sessions_app import agents, homes, money, queued, recovery, switch
from sessions_app.actions.lookup import find_session, require_active
from sessions_app.actions.sessions import check_policy, interrupt, stop_runs
from sessions_app.models import IdempotencyRecord, Run, RunStatus, Session
from sessions_app.runner import runner

MAX_QUEUED = 100  # messages that wait in one session


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be answered.

    Attributes:
        content: its content blocks.
        timeout_ms: the caller's bound on the run, milliseconds; 0 for none.
        on_busy: `reject`, `enqueue` or `interrupt`.
        request_id: of the request that brought it.
    """

    content: list[dict[str, Any]]
    timeout_ms: int = 0
    on_busy: str = "reject"
    request_id: str = ""


def send_message(key: ApiKey, session_id: object, message: NewMessage) -> Run:
    """Accept a message and have it answered. Inside the caller's transaction, or its own.

    Raises:
        SessionNotFound, SessionEnded, SessionExpired, SessionBusy, BudgetExceeded,
        PolicyDenied, ConcurrencyLimitExceeded, Draining.
    """
    with transaction.atomic():
        if state.draining:
            raise errors.Draining()
        switch.require_running()
        session = find_session(key, session_id, lock=True)
        require_active(session)
        money.check(session)
        check_policy(session.key, session)  # it may have become stricter
        agents.check_folder(session)
        _make_way(session, message.on_busy)
        _check_room(session)
        run = Run.objects.create(
            session=session,
            key=session.key,
            prompt=message.content,
            model=session.model,
            owner=homes.owner_for(session),
            timeout_ms=message.timeout_ms,
            goes_first=message.on_busy == "interrupt",
            request_id=message.request_id,
        )
        now = timezone.now()
        Session.objects.filter(pk=session.pk).update(
            last_activity=now, expires_at=session.lifetime(now)
        )
        transaction.on_commit(lambda: runner.advance(session.id, run.owner))
    return run


def _make_way(session: Session, on_busy: str) -> None:
    """See to what runs already."""
    active = session.runs.unfinished().without_texts().in_turn().first()
    if active is None or on_busy == "enqueue":
        return
    if on_busy == "interrupt":
        interrupt(session)
        return
    raise errors.SessionBusy(details={"sessionId": str(session.id), "runId": str(active.id)})


def _check_room(session: Session) -> None:
    """Count under locks, so that the limits are exact however many ask at once.

    This session's runs that were told to stop don't count as the key's: the new one begins
    after them. In the session's queue they are counted until they have left it.
    """
    if session.runs.filter(status=RunStatus.QUEUED).count() >= MAX_QUEUED:
        raise errors.ConcurrencyLimitExceeded(
            "As many messages as may wait in a session do so.",
            details={"limit": MAX_QUEUED, "of": "session"},
        )
    key = session.key
    if key.max_runs is None:
        return
    ApiKey.objects.select_for_update(no_key=True).get(pk=key.pk)
    unfinished = Run.objects.unfinished().filter(key=key)
    if unfinished.exclude(~Q(cancel_reason=""), session=session).count() >= key.max_runs:
        raise errors.ConcurrencyLimitExceeded(details={"limit": key.max_runs, "of": "key"})


def cancel(
    key: ApiKey, session_id: object, reason: str = "cancelled"
) -> tuple[Session, Run | None]:
    """Stop the session's run, and those that wait behind it.

    Returns:
        The session, and the run that was live, if any.

    Raises:
        SessionNotFound.
    """
    with transaction.atomic():
        session = find_session(key, session_id)
        run = stop_runs(session, reason)
    return session, run


def cancel_run(run_id: UUID, reason: str) -> None:
    """Stop one run, whatever else the session does."""
    with transaction.atomic():
        Run.objects.unfinished().filter(pk=run_id, cancel_reason="").update(cancel_reason=reason)
        transaction.on_commit(lambda: _nudge(run_id))


def _nudge(run_id: UUID) -> None:
    """Let whoever has the run see that it shall stop. After the commit: it may just have begun."""
    run = Run.objects.unfinished().filter(pk=run_id).only("owner").first()
    if run is not None:
        runner.nudge(run.pk, run.owner)


def cancel_queued(run_id: UUID, reason: str) -> bool:
    """Stop a run unless it has begun. False if it has, or has ended."""
    with transaction.atomic():
        stopped = queued.stop(run_id, reason)
        if stopped:
            transaction.on_commit(lambda: _nudge(run_id))
    return stopped


def take_back(run_id: UUID) -> bool:
    """Refuse after all a run that has not begun, as the server ends: it may be sent again.

    False if it has begun, or has ended.
    """
    with transaction.atomic():
        if not cancel_queued(run_id, "draining"):
            return False
        IdempotencyRecord.objects.filter(run_id=run_id).delete()
    return True


def recover_if_orphaned(session_id: Any) -> None:
    """End the session's run as lost if its process is gone: whoever looks notices."""
    runs_open = Run.objects.unfinished().filter(session_id=session_id)
    if runs_open.exclude(owner=PROCESS_ID).exists():
        lost, waiting = recovery.recover(session_id)
        transaction.on_commit(lambda: runner.recovered(lost, waiting))
