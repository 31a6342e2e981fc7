"""What time does to sessions: idle ones expire, old ones are removed.

Safe in parallel: every step is won by the count of rows it changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from claudeapi.conf import options
from sessions_app import agents, idempotency, remains, runstats
from sessions_app.actions.sessions import close_session
from sessions_app.models import (
    Approval,
    EventChunk,
    IdempotencyRecord,
    Message,
    Run,
    ServerProcess,
    Session,
    SessionStatus,
    Ticket,
)

log = structlog.get_logger(__name__)

BATCH = 200
PROCESS_MEMORY = timedelta(days=1)


@dataclass(slots=True)
class Report:
    """How many rows each step changed, or would change."""

    expired: int = 0
    removed: int = 0
    idempotency_records: int = 0
    tickets: int = 0
    server_processes: int = 0
    statistics: int = 0

    def lines(self) -> list[str]:
        """For people."""
        return [
            f"{field.name.replace('_', ' ')}: {getattr(self, field.name)}" for field in fields(self)
        ]


def clean_up(*, dry_run: bool = False) -> Report:
    """Expire idle sessions, and remove what retention no longer keeps."""
    now = timezone.now()
    report = Report()
    past = old_sessions(now)
    if dry_run:
        report.expired = Session.objects.overdue().count()
        report.removed = past.count()
    else:
        report.expired = _each(expire, Session.objects.overdue())
        report.removed = _each(remove, past)
    report.idempotency_records = _delete(
        IdempotencyRecord.objects.filter(created_at__lt=now - idempotency.LIFETIME), dry_run
    )
    report.tickets = _delete(Ticket.objects.filter(expires_at__lt=now), dry_run)
    report.server_processes = _delete(
        ServerProcess.objects.filter(heartbeat_at__lt=now - PROCESS_MEMORY), dry_run
    )
    report.statistics = 0 if dry_run else runstats.compact(now)
    return report


def old_sessions(now: datetime) -> QuerySet[Session]:
    """Sessions that ended longer ago than retention keeps them."""
    limit = now - timedelta(days=options().retention_days)
    return Session.objects.exclude(status=SessionStatus.ACTIVE).filter(ended_at__lt=limit)


def expire(session: Session) -> bool:
    """Expire one idle session; False if a message came in between."""
    with transaction.atomic():
        still = Session.objects.overdue().select_for_update().filter(pk=session.pk).first()
        return still is not None and close_session(still, SessionStatus.EXPIRED)


def remove(session: Session) -> bool:
    """Remove a session with all that belongs to it. True for the one caller that did it."""
    with transaction.atomic():
        # Whoever holds the row removes: two at once would wait for each other's rows.
        if Session.objects.select_for_update().only("pk").filter(pk=session.pk).first() is None:
            return False
        IdempotencyRecord.objects.filter(run__session_id=session.pk).delete()
        for kind in (EventChunk, Message, Approval):
            kind.objects.filter(session_id=session.pk).delete()
        # Not with their prompts and replies: rows that others refer to are read to be removed.
        while Run.objects.filter(pk__in=_some_runs(session)).only("pk").delete()[0]:
            pass
        if session.engine == agents.CLAUDE_CODE:
            remains.forget(session)
        Session.objects.filter(pk=session.pk).only("pk").delete()
    return True


def _some_runs(session: Session) -> list[UUID]:
    return list(session.runs.values_list("pk", flat=True)[:BATCH])


def _each(change: Callable[[Session], bool], rows: QuerySet[Session]) -> int:
    """How many sessions it changed; one that it fails on is in nobody's way."""
    changed = 0
    for session in _batches(rows):
        try:
            changed += change(session)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("session_not_cleaned_up", session=str(session.pk))
    return changed


def _batches(rows: QuerySet[Session]) -> Iterator[Session]:
    """The rows, some at a time. Their ids first: ordered pages would walk the whole table."""
    ids = list(rows.values_list("pk", flat=True))
    for start in range(0, len(ids), BATCH):
        yield from Session.objects.filter(pk__in=ids[start : start + BATCH])


def _delete(
    rows: QuerySet[IdempotencyRecord] | QuerySet[Ticket] | QuerySet[ServerProcess], dry_run: bool
) -> int:
    return rows.count() if dry_run else rows.delete()[0]
