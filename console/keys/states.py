"""How a key stands, for people: its badges, the filter of the list, and who needs a look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from console.playground.trying import MARK
from keys_app import environment
from keys_app.models import ApiKey, ApiKeyQuerySet, Source

EXPIRING = timedelta(days=14)
UNUSED = timedelta(days=90)

STATES = {
    "active": "Active",
    "expiring": f"Expiring within {EXPIRING.days} days",
    "unused": f"Active, unused for {UNUSED.days} days",
    "expired": "Expired",
    "revoked": "Revoked",
    "gone": "Gone from the environment",
}


@dataclass(frozen=True, slots=True)
class Badge:
    """A word or two, in a tone: `ok`, `warn`, `bad` or none."""

    text: str
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Attention:
    """How many keys an operator should look at."""

    expiring: int
    unused: int
    expiring_days: int = EXPIRING.days
    unused_days: int = UNUSED.days

    def __bool__(self) -> bool:
        return bool(self.expiring or self.unused)


def attention() -> Attention:
    """Count them: two queries."""
    keys = ApiKey.objects.all()
    return Attention(
        expiring=in_state(keys, "expiring").count(), unused=in_state(keys, "unused").count()
    )


def in_state(keys: ApiKeyQuerySet, state: str | None) -> ApiKeyQuerySet:
    """The keys in one of `STATES`; all for none or an unknown one."""
    now = timezone.now()
    match state:
        case "active":
            return environment.working(keys)
        case "expiring":
            soon = environment.working(keys).filter(expires_at__lte=now + EXPIRING)
            return soon.exclude(metadata__has_key=MARK)  # those are made to expire
        case "unused":
            old = now - UNUSED
            idle = Q(last_used_at__lt=old) | Q(last_used_at=None, created_at__lt=old)
            return environment.working(keys).filter(idle)
        case "expired":
            return keys.filter(revoked_at=None, expires_at__lte=now)
        case "revoked":
            return keys.exclude(revoked_at=None)
        case "gone":
            return environment.gone(keys)
    return keys


def badges(key: ApiKey) -> list[Badge]:
    """What to see at once; the first is always whether it works."""
    now = timezone.now()
    if key.revoked_at is not None:
        return [Badge("revoked")]
    if not key.is_standing:
        return [Badge("expired", "bad")]
    if environment.is_gone(key):
        return [Badge("gone from the environment")]
    found = [] if key.source == Source.ISSUED else [Badge(key.get_source_display())]
    if key.expires_at is not None and key.expires_at - now <= EXPIRING:
        tone = "" if MARK in key.metadata else "warn"
        found.append(Badge(f"expires in {_span(key.expires_at - now)}", tone))
    if (since := key.last_used_at or key.created_at) < now - UNUSED:
        found.append(Badge(_unused(key, now - since), "warn"))
    return [Badge("active", "ok"), *found]


def _unused(key: ApiKey, idle: timedelta) -> str:
    return f"unused for {idle.days} days" if key.last_used_at else "never used"


def _span(span: timedelta) -> str:
    for unit, seconds in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(span.total_seconds() // seconds)
        if count:
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"
