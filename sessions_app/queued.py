"""Runs that wait their turn, and those of them that shall stop before it comes.

Sync, each a transaction of its own, but for `conclude`.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from claudeapi.core import errors
from claudeapi.core.process import PROCESS_ID
from sessions_app import metrics, runs
from sessions_app.models import Message, Run, RunQuerySet, RunStatus

ENDED_FIELDS = ("status", "finished_at", "error", "first_event_id", "last_event_id")


def waiting_here() -> list[UUID]:
    """Sessions with a queued run that this process shall drive, and no live one."""
    queued = Run.objects.filter(owner=PROCESS_ID, status=RunStatus.QUEUED)
    busy = Run.objects.live().values("session_id")
    return list(queued.exclude(session_id__in=busy).values_list("session_id", flat=True).distinct())


def stop_for_revoked_keys() -> None:
    """Tell the runs of revoked keys to stop, and those that wait their turn."""
    going_on = Run.objects.unfinished().filter(cancel_reason="", key__revoked_at__isnull=False)
    if going_on.exists():  # an update takes the write lock, also for nothing
        going_on.update(cancel_reason=runs.KEY_REVOKED)


def time_out_late() -> None:
    """Tell the queued runs of this process to stop whose caller's bound has run out."""
    bounded = Run.objects.filter(status=RunStatus.QUEUED, owner=PROCESS_ID, cancel_reason="")
    for run in bounded.filter(timeout_ms__gt=0).only("created_at", "timeout_ms"):
        if run.seconds_left is not None and run.seconds_left <= 0:
            stop(run.pk, "timeout")


def stop(run_id: UUID, reason: str) -> bool:
    """Tell a run to stop that has not begun. False for any other, or for another reason."""
    queued = Run.objects.filter(pk=run_id, status=RunStatus.QUEUED)
    queued.filter(cancel_reason="").update(cancel_reason=reason)
    return queued.filter(cancel_reason=reason).exists()


def sessions_with_stopped(sessions: Collection[UUID]) -> set[UUID]:
    """Those of the sessions with a run that shall stop and has not begun."""
    return set(_stopped().filter(session_id__in=sessions).values_list("session_id", flat=True))


def stopped_in(session_id: UUID) -> list[UUID]:
    """The session's runs that shall stop and have not begun."""
    return list(_stopped().filter(session_id=session_id).in_turn().values_list("pk", flat=True))


def stopped(run_id: UUID) -> Run | None:
    """The whole run, if it shall stop and has not begun."""
    return _stopped().select_related("session").filter(pk=run_id).first()


def _stopped() -> RunQuerySet:
    return Run.objects.filter(status=RunStatus.QUEUED).exclude(cancel_reason="")


def look_at(run_id: UUID) -> tuple[Run | None, str]:
    """A run that has not ended, without what was said; and who drives the live one before it."""
    fields = ("session_id", "status", "owner", "cancel_reason")
    run = Run.objects.unfinished().only(*fields).filter(pk=run_id).first()
    if run is None:
        return None, ""
    live = Run.objects.live().filter(session_id=run.session_id)
    return run, live.values_list("owner", flat=True).first() or ""


def settle(run: Run, first_event_id: int) -> None:
    """Fill in a run's end, which takes two events: its message, and that it was stopped."""
    run.status = RunStatus.CANCELLED
    run.finished_at = timezone.now()
    run.error = errors.body(runs.cancellation(run.cancel_reason))
    run.first_event_id, run.last_event_id = first_event_id, first_event_id + 1


def conclude(run: Run) -> None:
    """Write what `settle` has filled in. Inside the transaction that writes the two events."""
    queued = Run.objects.filter(pk=run.pk, status=RunStatus.QUEUED)
    if not queued.update(**{name: getattr(run, name) for name in ENDED_FIELDS}):
        return
    Message.objects.filter(run_id=run.pk).update(unanswered=True)
    runs.record(run.session, run, timezone.now())
    transaction.on_commit(partial(metrics.count_run, run, run.session.engine))
