"""Charts of the last hour, day or month, by key, model or engine: from sums, never from runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import F, Sum
from django.utils import timezone

from console.overview import drawing
from console.overview.drawing import Chart, Series, Step
from keys_app.models import ApiKey
from sessions_app.models import RunStat

TOP = 6
OTHERS = "all others"


@dataclass(frozen=True, slots=True)
class Span:
    """How far back, in which steps.

    Attributes:
        form: how a step is written, in UTC.
        local: how `times.js` writes it in the reader's time zone; empty for days of UTC.
    """

    name: str
    label: str
    steps: int
    step: timedelta
    form: str
    local: str = ""


SPANS = {
    "hour": Span("hour", "Hour", 60, timedelta(minutes=1), "%H:%M", "minute"),
    "day": Span("day", "Day", 24, timedelta(hours=1), "%a %H:00", "hour"),
    "month": Span("month", "Month", 30, timedelta(days=1), "%d %b"),
}
GROUPS = {"engine": "Engine", "model": "Model", "key": "Key", "code": "Outcome"}

TOKENS = (
    F("input_tokens") + F("output_tokens") + F("cache_read_tokens") + F("cache_creation_tokens")
)
MEASURES = (("n_runs", "Runs ended"), ("tokens", "Tokens"), ("cost", "Cost, US dollars"))


@dataclass(frozen=True, slots=True)
class Choice:
    """What the reader wants to see."""

    span: str = "hour"
    by: str = "engine"

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> Choice:
        """From a query; what is unknown becomes the default."""
        span, by = str(query.get("span", "")), str(query.get("by", ""))
        return cls(span if span in SPANS else "hour", by if by in GROUPS else "engine")

    @property
    def spans(self) -> list[Span]:
        """All spans, for the buttons."""
        return list(SPANS.values())

    @property
    def groups(self) -> list[tuple[str, str]]:
        """All groupings, for the buttons."""
        return list(GROUPS.items())


@dataclass(frozen=True, slots=True)
class Drawn:
    """The charts of one choice; a name has the same colour in all of them."""

    charts: list[Chart]

    @property
    def legend(self) -> list[Series]:
        """The names and their colours."""
        return self.charts[0].series

    @property
    def is_empty(self) -> bool:
        """Whether no run has ended in this time."""
        return all(chart.is_empty for chart in self.charts)


def draw(choice: Choice, now: datetime | None = None) -> Drawn:
    """One chart for each measure; at most two queries."""
    span = SPANS[choice.span]
    moments = _moments(span, (now or timezone.now()).astimezone(UTC))
    rows = _sums(choice.by, moments[0])
    names = _names(choice.by, {str(row["who"]) for row in rows})
    places = _places(rows, names)
    steps = [
        Step(at.strftime(span.form), at.isoformat() if span.local else "", span.local)
        for at in moments
    ]
    return Drawn(
        [
            drawing.chart(measure, title, steps, _series(rows, measure, places, span, moments))
            for measure, title in MEASURES
        ]
    )


def _places(rows: list[dict[str, Any]], names: dict[str, str]) -> dict[str, tuple[str, int]]:
    """Name and colour of each: the largest ones in the order of the alphabet, then all others.

    How large somebody is goes by their shares of all measures, so that all charts show the same.
    """
    shares: dict[str, float] = defaultdict(float)
    for measure, _ in MEASURES:
        total = sum(float(row[measure] or 0) for row in rows) or 1.0
        for row in rows:
            shares[str(row["who"])] += float(row[measure] or 0) / total
    ordered = sorted(shares, key=lambda who: (-shares[who], names[who]))
    kept = ordered[:] if len(ordered) <= TOP else ordered[: TOP - 1]
    # "" is the outcome of what went well: it comes first, and is green.
    kept.sort(key=lambda who: (who != "", names[who]))
    colours = {who: i for i, who in enumerate(kept, 1)}
    return {who: (names[who], colours[who]) if who in colours else (OTHERS, TOP) for who in ordered}


def _series(
    rows: list[dict[str, Any]],
    measure: str,
    places: dict[str, tuple[str, int]],
    span: Span,
    moments: list[datetime],
) -> list[Series]:
    values = {place: [0.0] * len(moments) for place in places.values()}
    for row in rows:
        step = int((row["at"] - moments[0]) / span.step)
        if step < len(moments):
            values[places[str(row["who"])]][step] += float(row[measure] or 0)
    ordered = sorted(values, key=lambda place: place[1])
    return [Series(name, values[name, colour], colour) for name, colour in ordered]


def _moments(span: Span, now: datetime) -> list[datetime]:
    last = now.replace(second=0, microsecond=0)
    if span.name != "hour":
        last = last.replace(minute=0)
    if span.name == "month":
        last = last.replace(hour=0)
    return [last - span.step * back for back in range(span.steps - 1, -1, -1)]


def _sums(by: str, since: datetime) -> list[dict[str, Any]]:
    """A row for each moment and name: some hundred moments, however long the span.

    The moments are put into their steps here: the database would call a function for every
    row that it reads.
    """
    rows = (
        RunStat.objects.filter(at__gte=since)
        .values("at", who=F("key_id" if by == "key" else by))
        .annotate(n_runs=Sum("runs"), tokens=Sum(TOKENS), cost=Sum("cost_usd"))
        .order_by()
    )
    return [dict(row) for row in rows]


def _names(by: str, found: set[str]) -> dict[str, str]:
    if by == "code":
        return {code: code or "completed" for code in found}
    if by != "key":
        return {name: name for name in found}
    keys = {str(key.pk): key for key in ApiKey.objects.filter(pk__in=found)}
    return {pk: f"{keys[pk].name} ({keys[pk].prefix})" if pk in keys else pk for pk in found}
