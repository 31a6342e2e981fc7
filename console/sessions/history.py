"""What staff has done to a session, for its own page: the audit log's lines about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from console.models import AuditEntry
from console.reading.text import line
from sessions_app.models import Session

SHOWN = 20
UNTOLD = ("playground.said",)  # these are in the conversation itself
_WORDS = {
    "run.cancelled": "cancelled the run {run}",
    "session.ended": "ended the session",
    "session.extended": "extended it until {until}",
    "session.forked": "forked it into {into}",
    "session.exported": "exported it as {format}",
    "session.file_downloaded": "downloaded {path}",
    "playground.begun": "began it in the playground",
}


@dataclass(frozen=True, slots=True)
class Act:
    """Something that somebody did, in words."""

    at: datetime
    actor: str
    told: str


def acts(session: Session) -> list[Act]:
    """The newest first."""
    rows = AuditEntry.objects.filter(
        target_type=session._meta.label_lower, target_id=str(session.pk)
    ).exclude(verb__in=UNTOLD)
    return list(_told(rows.order_by("-at", "-id")[:SHOWN]))


def _told(rows: Iterable[AuditEntry]) -> Iterable[Act]:
    for row in rows:
        details = {name: line(value, 60) for name, value in row.details.items()}
        words = _WORDS.get(row.verb, row.verb)
        try:
            told = words.format(**details)
        except KeyError:  # written before this detail was
            told = words.partition(" {")[0]
        yield Act(row.at, row.actor, told)
