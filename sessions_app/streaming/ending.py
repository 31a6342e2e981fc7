"""When a stream has had everything that will come, and what a run's end is to who waited."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from claudeapi.core import errors
from claudeapi.core.database import in_db
from claudeapi.core.lifecycle import state
from claudeapi.core.process import PROCESS_ID
from sessions_app import eventlog
from sessions_app.hub import LAST_EVENTS, Event, hub
from sessions_app.models import UNFINISHED, Run, Session


class Ending:
    """The end of one stream, of a session or of one run.

    A run's end is in the database a moment before it is shown. So a stream does not end
    because there is nothing to come, but with the last event there is.
    """

    def __init__(self, session_id: UUID, run: Run | None, after: int) -> None:
        self._session_id = session_id
        self._run = run
        self._cursor = after
        self._last: int | None = None

    async def reached(self, batch: Sequence[Event]) -> bool:
        """Whether nothing comes after this batch of `eventlog.follow`."""
        if batch:
            self._cursor = batch[-1].id
        if not batch or batch[-1].name in LAST_EVENTS:
            self._last = await in_db(last_to_come, self._session_id, self._run)
            topic = hub.get(self._session_id)
            if self._last is not None and topic is not None:
                topic.tell(self._last)
        return self._last is not None and self._cursor >= self._last


def last_to_come(session_id: UUID, run: Run | None = None) -> int | None:
    """The number up to which this process will send; None while it is not known."""
    if not _nothing_to_come(session_id, run):
        return None
    # Read after the status: a run's last event is written in one transaction with it.
    return eventlog.last_event_id(session_id)


def _nothing_to_come(session_id: UUID, run: Run | None) -> bool:
    if run is None and session_is_over(session_id):
        return True
    if run is not None and Run.objects.filter(pk=run.pk).exclude(status__in=UNFINISHED).exists():
        return True  # its last event may be past retention
    # What is queued, or driven elsewhere, is followed on from another process.
    ours = Run.objects.live().filter(session_id=session_id, owner=PROCESS_ID)
    return state.draining and not ours.exists()


def session_is_over(session_id: UUID) -> bool:
    """Whether nothing more will come: ended or expired, and nothing runs."""
    session = Session.objects.filter(pk=session_id).first()
    if session is None:
        return True
    return session.current_status != "active" and not session.runs.unfinished().exists()


def of_run(batch: Sequence[Event], run: str) -> Sequence[Event]:
    """The events of one run, and the gaps that may hide some of it, up to its last one."""
    mine: list[Event] = []
    for event in batch:
        if event.run_id in (run, ""):
            mine.append(event)
            if event.name in LAST_EVENTS:
                break
    return mine


def outcome_error(run: Run) -> errors.ApiError:
    """What a waiting POST answers for a run that was not completed."""
    told = run.error or errors.body(errors.InternalError())
    kind = errors.CODES.get(told["code"], errors.InternalError)
    details = {**told["details"], "runId": str(run.id)}
    return kind(told["message"], details=details, retry_after=told["details"].get("retryAfter"))
