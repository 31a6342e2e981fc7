"""Whether the upstream works: from what came of the runs since it was configured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max

from sessions_app.models import RunStat

WINDOW = timedelta(days=1)
UNSTEADY = timedelta(minutes=5)
# Errors so soon after a success are some of many runs, not the end of it.
TOGETHER = timedelta(minutes=1)
# What says that the upstream answered wrongly, or not at all.
CODES = "UPSTREAM_"


@dataclass(frozen=True, slots=True)
class Standing:
    """How the upstream stands.

    Attributes:
        state: `working`, `unsteady`, `failing` or `unknown`.
        words, tone: the same for people, and its colour.
        ok: when a run last went well.
        error: which error came last from the upstream, and when.
    """

    state: str
    words: str
    tone: str
    ok: str | None = None
    error: dict[str, str] | None = None

    def as_json(self) -> dict[str, Any]:
        """For the feed and the template alike."""
        return asdict(self)


STATES = {
    "working": ("working", "ok"),
    "unsteady": ("some runs fail", "warn"),
    "failing": ("failing", "bad"),
    "unknown": ("not tried yet", ""),
}


def since(start: datetime | None, now: datetime) -> Standing:
    """How it stands by the runs that ended after `start`: what was before had another upstream.

    Args:
        start: when the oldest process that lives was started; None: there is none.
    """
    if start is None:
        return _standing(None, None, "", now)
    ended = RunStat.objects.filter(at__gt=now - WINDOW, last_at__gte=start)
    ok = ended.filter(code="").aggregate(at=Max("last_at"))["at"]
    failed = ended.filter(code__startswith=CODES).order_by("-last_at")
    code, at = failed.values_list("code", "last_at").first() or ("", None)
    return _standing(ok, at, code, now)


def _standing(ok: datetime | None, error: datetime | None, code: str, now: datetime) -> Standing:
    state = _state(ok, error, now)
    told = {"code": code, "at": moment(error)} if error else None
    return Standing(state, *STATES[state], moment(ok) if ok else None, told)


def _state(ok: datetime | None, error: datetime | None, now: datetime) -> str:
    if error is None:
        return "working" if ok else "unknown"
    if ok is None or error - ok > TOGETHER:
        return "failing"
    return "unsteady" if error > ok or now - error < UNSTEADY else "working"


def moment(at: datetime) -> str:
    """A moment as JSON has it."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
