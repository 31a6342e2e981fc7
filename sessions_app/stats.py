"""The queries behind live statistics and health."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from time import monotonic
from uuid import UUID

from django.utils import timezone

from sessions_app.models import Run, RunStatus, ServerProcess, Session, SessionStatus

SILENCE = timedelta(seconds=15)
"""After which a process that has said nothing holds nothing."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Sessions and runs of the whole server, now."""

    active_sessions: int
    total_sessions: int
    active_runs: int
    queued_runs: int


_lock = Lock()
_known: tuple[float, Counts] | None = None


def counts() -> Counts:
    """The counts, as they were when this was called or later.

    Anybody may ask for them: who asks while others do shares the answer with them.
    """
    global _known
    asked = monotonic()
    with _lock:
        if _known is None or _known[0] < asked:
            begun = monotonic()
            _known = (begun, _count())
        return _known[1]


def _count() -> Counts:
    """Count; every number comes from an index."""
    return Counts(
        active_sessions=active_sessions(),
        total_sessions=Session.objects.count(),
        active_runs=Run.objects.live().count(),
        queued_runs=Run.objects.filter(status=RunStatus.QUEUED).count(),
    )


def held_by(key_id: UUID) -> dict[str, int]:
    """What revoking a key would cut off, for whoever is about to."""
    return {
        "active sessions": active_sessions(key_id),
        "open streams": open_streams(key_id),
        "runs in progress": Run.objects.unfinished().filter(key_id=key_id).count(),
    }


def open_streams(key_id: UUID) -> int:
    """How many streams a key has open in all processes, as of their last heartbeats."""
    alive = ServerProcess.objects.filter(heartbeat_at__gt=timezone.now() - SILENCE)
    told = alive.values_list("facts", flat=True)
    return sum(facts.get("streamsByKey", {}).get(str(key_id), 0) for facts in told)


def active_sessions(key_id: UUID | None = None) -> int:
    """How many sessions are active, of all keys or of one: `Session.objects.active()`, counted
    in two ranges.

    In one query the database would look at every active session's row; so it reads the index
    for those in time, and the few late ones by their unfinished runs.
    """
    now = timezone.now()
    active = Session.objects.filter(status=SessionStatus.ACTIVE)
    unfinished = Run.objects.unfinished()
    if key_id is not None:
        active, unfinished = active.filter(key=key_id), unfinished.filter(key=key_id)
    busy = unfinished.values("session_id")
    late = active.filter(expires_at__lte=now, pk__in=busy)
    return active.filter(expires_at__gt=now).count() + late.count()
