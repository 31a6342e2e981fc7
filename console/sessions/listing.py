"""The lists of sessions and runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from console.reading import finding, names
from console.reading.lists import LONG, LONG_IN_ITS_SESSION, NOBODY, Filters, Listed, page_of
from sessions_app.actions.lookup import as_uuid
from sessions_app.models import UNFINISHED, Run, RunStatus, Session, SessionStatus

SINCE = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}


def sessions(wanted: Filters) -> Listed[Session]:
    """Sessions, the one with the newest activity first."""
    rows = Session.objects.all()
    if wanted.key:
        rows = rows.filter(key_id=as_uuid(wanted.key) or NOBODY)
    narrow = Q()
    if wanted.status:
        rows = rows.shown_as(wanted.status if wanted.status in SessionStatus.values else "all")
    if wanted.engine:
        narrow &= Q(engine=wanted.engine)
    if wanted.model:
        narrow &= Q(model=wanted.model)
    if wanted.since:
        rows = rows.filter(last_activity__gte=_begin(wanted.since))
    if wanted.q:
        known, words = finding.sessions(wanted.q)
        rows, narrow = rows.filter(known), narrow & words
    shown = page_of(rows, "last_activity", narrow, wanted.cursor, ("key",), LONG)
    _note_standing(shown.rows)
    names.name_all(shown.rows)
    return shown


def runs(wanted: Filters) -> Listed[Run]:
    """Runs, newest first."""
    rows = Run.objects.all()
    narrow = Q()
    if wanted.key:
        rows = rows.filter(key_id=as_uuid(wanted.key) or NOBODY)
    if wanted.session:
        rows = rows.filter(session_id=as_uuid(wanted.session) or NOBODY)
    if wanted.status == "unfinished":
        rows = rows.unfinished()
    elif wanted.status in UNFINISHED:
        rows = rows.unfinished().filter(status=wanted.status)
    elif wanted.status:
        narrow &= Q(status=wanted.status)
    if wanted.model:
        narrow &= Q(model=wanted.model)
    if wanted.engine:
        narrow &= Q(session__engine=wanted.engine)
    if wanted.since:
        rows = rows.filter(created_at__gte=_begin(wanted.since))
    if wanted.q:
        known, words = finding.runs(wanted.q)
        rows, narrow = rows.filter(known), narrow & words
    unshown = ("prompt", "response", *LONG_IN_ITS_SESSION)
    shown = page_of(rows, "created_at", narrow, wanted.cursor, ("key", "session"), unshown)
    names.name_all([run.session for run in shown.rows])
    return shown


def _begin(since: str) -> datetime:
    return timezone.now() - SINCE.get(since, timedelta(days=36_500))


def _note_standing(found: Sequence[Session]) -> None:
    """Give each session the status that a client sees, with one query for all."""
    now = timezone.now()
    late = [s.pk for s in found if s.status == SessionStatus.ACTIVE and s.expires_at <= now]
    unfinished = Run.objects.unfinished().filter(session_id__in=[row.pk for row in found])
    # One is live at most; what is queued waits behind it.
    order = [RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING]
    busy = dict(
        sorted(
            unfinished.values_list("session_id", "status"),
            key=lambda at: order.index(RunStatus(at[1])),
        )
    )
    for session in found:
        is_late = session.pk in late and session.pk not in busy
        session.shown_status = "expired" if is_late else session.status  # type: ignore[attr-defined]
        session.at_work = busy.get(session.pk, "")  # type: ignore[attr-defined]
