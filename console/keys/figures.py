"""What a key used, and what is left of its limits, for its own page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet, Sum
from django.utils import timezone

from claudeapi.core.errors import Unavailable
from console.keys.filters import period
from console.overview import drawing
from console.overview.drawing import Chart, Series, Step
from console.templatetags.console_keys import about
from keys_app import budgets, limits
from keys_app.models import ApiKey, UsageSum
from sessions_app import stats

DAYS = 30
ADDED_UP = 50_000


@dataclass(slots=True)
class Used:
    """Sums over some time."""

    runs: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0
    cost_usd: Decimal = Decimal(0)

    @property
    def tokens(self) -> int:
        """Of all kinds."""
        return (
            self.input_tokens
            + self.output_tokens
            + self.cache_read_tokens
            + self.cache_creation_tokens
        )

    def add(self, row: dict[str, Any]) -> None:
        """Add a row of sums."""
        for name in SUMMED:
            setattr(self, name, getattr(self, name) + (row[name] or 0))


SUMMED = tuple(field.name for field in fields(Used))


@dataclass(frozen=True, slots=True)
class Usage:
    """What a key used.

    Attributes:
        periods: by label: today, this month, the last 30 days.
        models: of the last 30 days, by engine and model, the dearest first.
        days: its cost of each of the last 30 days.
    """

    periods: dict[str, Used]
    models: list[tuple[str, str, Used]]
    days: Chart


@dataclass(frozen=True, slots=True)
class Left:
    """A limit and what is left of it; `limit` is None where there is none."""

    label: str
    used: Any
    limit: Any
    note: str = ""

    @property
    def remaining(self) -> Any:
        """What is left, never below nothing."""
        return None if self.limit is None else max(self.limit - self.used, type(self.limit)(0))

    @property
    def shown_used(self) -> str:
        """For people."""
        return _shown(self.used)

    @property
    def shown_limit(self) -> str:
        """For people."""
        return _shown(self.limit)

    @property
    def shown_remaining(self) -> str:
        """For people."""
        return _shown(self.remaining)

    @property
    def is_low(self) -> bool:
        """Whether a tenth or less is left."""
        return self.limit is not None and self.remaining * 10 <= self.limit


def used_by(key: ApiKey, now: datetime | None = None) -> Usage:
    """Everything from one query: the hours of this month, or of 30 days if those are more."""
    now = (now or timezone.now()).astimezone(UTC)
    spans = {
        label: period(name, now)
        for label, name in (("Today", "today"), ("This month", "month"), ("30 days", "30d"))
    }
    bounds = {label: span for label, span in spans.items() if span}
    first = min(span[0] for span in bounds.values())
    rows: list[Any] = list(
        UsageSum.objects.filter(key=key, hour__gte=first)
        .values("hour", "engine", "model")
        .annotate(**{name: Sum(name) for name in SUMMED})
        .order_by()
    )
    within = {
        label: [row for row in rows if row["hour"] >= begin] for label, (begin, _) in bounds.items()
    }
    return Usage(
        periods={label: _total(found) for label, found in within.items()},
        models=_by_model(within["30 days"]),
        days=_by_day(within["30 days"], bounds["30 days"][0]),
    )


def total_of(rows: QuerySet[UsageSum]) -> tuple[Used, str]:
    """The sums of a list of hours, and what to say of a list too long to add up."""
    bounded = rows.order_by("-hour", "-id")[:ADDED_UP]
    sums = bounded.aggregate(hours=Count("pk"), **{name: Sum(name) for name in SUMMED})
    note = f", of the newest {ADDED_UP:,} lines" if sums["hours"] == ADDED_UP else ""
    return _total([sums]), note


def left_of(key: ApiKey) -> list[Left]:
    """Every limit that a client could run into now."""
    held = stats.held_by(key.pk)
    money = [
        Left(
            f"Budget of this {budget.period}",
            budget.spent,
            budget.budget,
            f"anew on {budget.resets_at:%d %b} 00:00 UTC",
        )
        for budget in budgets.budgets(key)
    ]
    return [
        _requests(key),
        Left("Sessions at once", held["active sessions"], key.max_sessions),
        Left("Runs at once", held["runs in progress"], key.max_runs),
        *money,
    ]


def costs_this_month(keys: Iterable[UUID]) -> dict[UUID, Decimal]:
    """What each of these keys cost since the first of the month, UTC."""
    since = timezone.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    rows = UsageSum.objects.filter(key__in=list(keys), hour__gte=since)
    return dict(rows.values_list("key").annotate(cost=Sum("cost_usd")).order_by())


def _requests(key: ApiKey) -> Left:
    try:
        state = limits.peek(key)
    except Unavailable:
        return Left("Requests in this window", None, None, "the cache that counts does not answer")
    at = datetime.fromtimestamp(state.reset, UTC)
    used = state.limit - state.remaining
    return Left("Requests in this window", used, state.limit, f"anew at {at:%H:%M:%S} UTC")


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return about(value) if isinstance(value, Decimal) else f"{value:,}"


def _total(rows: Iterable[dict[str, Any]]) -> Used:
    used = Used()
    for row in rows:
        used.add(row)
    return used


def _by_model(rows: Iterable[dict[str, Any]]) -> list[tuple[str, str, Used]]:
    found: defaultdict[tuple[str, str], Used] = defaultdict(Used)
    for row in rows:
        found[row["engine"], row["model"]].add(row)
    ordered = sorted(found.items(), key=lambda item: (-item[1].cost_usd, item[0]))
    return [(engine, model, used) for (engine, model), used in ordered]


def _by_day(rows: Iterable[dict[str, Any]], first: datetime) -> Chart:
    values = [0.0] * DAYS
    for row in rows:
        day = (row["hour"] - first).days
        if day < DAYS:
            values[day] += float(row["cost_usd"] or 0)
    days = [Step(f"{first + timedelta(days=day):%d %b}") for day in range(DAYS)]
    return drawing.chart("cost", "Cost by day, US dollars", days, [Series("cost", values, 1)])
