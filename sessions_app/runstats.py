"""Sums of ended runs, for charts and live figures: written run by run, read by the span.

A run costs one update of its minute's row; hours and days are made of minutes later, so a
chart of any length reads some hundred rows and never a run or an event.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F, Max, Sum
from django.db.models.functions import TruncDay, TruncHour
from django.utils import timezone

from sessions_app.models import Run, RunStat

HASTE_SECONDS = (
    0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 20, 40, 90
)  # fmt: skip
"""Where the buckets of the time to the first delta end; one more is for all above."""

MINUTES_KEPT = timedelta(hours=2)
HOURS_KEPT = timedelta(days=2)
DAYS_KEPT = timedelta(days=400)

SUMS = (
    "runs",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_creation_tokens",
    "cost_usd",
)
IDENTITY = ("key_id", "engine", "model", "code", "haste")


def record(run: Run, engine: str, model: str, now: datetime) -> None:
    """Add a run that has ended to its minute. Inside the transaction that ends it."""
    row = {
        "span": RunStat.MINUTE,
        "at": now.astimezone(UTC).replace(second=0, microsecond=0),
        "key_id": run.key_id,
        "engine": engine,
        "model": model,
        "code": run.error["code"] if run.error else "",
        "haste": haste_of(run),
    }
    added = {"runs": 1, **{name: getattr(run, name) for name in SUMS[1:]}}
    if not _add(row, added, now):
        # Whoever else makes the row at the same moment: it is there afterwards, and empty.
        RunStat.objects.bulk_create([RunStat(**row)], ignore_conflicts=True)
        _add(row, added, now)


def _add(row: dict[str, object], added: dict[str, int | Decimal], now: datetime) -> int:
    sums = {name: F(name) + value for name, value in added.items()}
    return RunStat.objects.filter(**row).update(**sums, last_at=now)


def haste_of(run: Run) -> int:
    """The bucket of the time from a message's arrival to the first delta of its reply."""
    if run.first_delta_at is None:
        return -1
    return bisect_right(HASTE_SECONDS, (run.first_delta_at - run.created_at).total_seconds())


def percentile(counts: dict[int, int], share: float) -> float | None:
    """Seconds within which that share of the runs had a first delta, between bucket edges.

    Args:
        counts: runs by bucket.
        share: 0.5 for the median.
    """
    total = sum(counts.values())
    wanted, below = total * share, 0
    for bucket in sorted(counts):
        if total and below + counts[bucket] >= wanted:
            low = HASTE_SECONDS[bucket - 1] if bucket else 0.0
            high = HASTE_SECONDS[min(bucket, len(HASTE_SECONDS) - 1)]
            return low + (high - low) * (wanted - below) / counts[bucket]
        below += counts[bucket]
    return None


def compact(now: datetime | None = None) -> int:
    """Make hours of old minutes and days of old hours; forget the oldest. Rows removed.

    What is made coarser is whole and long past, so that no run can still be added to it. Two
    processes at once would count double: the caller holds the clean-up's lock, and the rows
    are locked here as well.
    """
    now = (now or timezone.now()).astimezone(UTC)
    hour = (now - MINUTES_KEPT).replace(minute=0, second=0, microsecond=0)
    day = (now - HOURS_KEPT).replace(hour=0, minute=0, second=0, microsecond=0)
    removed = _coarsen(RunStat.MINUTE, RunStat.HOUR, hour)
    removed += _coarsen(RunStat.HOUR, RunStat.DAY, day)
    removed += RunStat.objects.filter(at__lt=now - DAYS_KEPT).delete()[0]
    return removed


def _coarsen(fine: int, coarse: int, before: datetime) -> int:
    trunc = TruncHour if coarse == RunStat.HOUR else TruncDay
    with transaction.atomic():
        old = RunStat.objects.filter(span=fine, at__lt=before)
        taken = list(old.select_for_update().values_list("pk", flat=True))
        if not taken:
            return 0
        sums = {name: Sum(name) for name in SUMS}
        groups = (
            old.annotate(begin=trunc("at", tzinfo=UTC))
            .values("begin", *IDENTITY)
            .annotate(**{f"sum_{name}": total for name, total in sums.items()})
            .annotate(newest=Max("last_at"))
        )
        for group in list(groups):
            _merge(coarse, group)
        return old.delete()[0]


def _merge(span: int, group: dict[str, Any]) -> None:
    row = {"span": span, "at": group["begin"], **{name: group[name] for name in IDENTITY}}
    added = {name: group[f"sum_{name}"] for name in SUMS}
    if not _add(row, added, group["newest"]):
        RunStat.objects.create(**row, **added, last_at=group["newest"])
