"""Small stacked bar charts as SVG, by arithmetic alone: no library, no script, no inline style.

The template writes the elements; colours are the style sheet's (`.series-1` …).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 420, 190
LEFT, RIGHT, TOP, BOTTOM = 42, 6, 10, 22
GAP = 0.18
TICKS = 3
X_LABELS = 4


@dataclass(frozen=True, slots=True)
class Step:
    """One moment of a chart.

    Attributes:
        text: as it is written in UTC.
        stamp: the moment for `times.js`, which says it in the reader's time zone; empty for days,
            which are UTC's.
        form: of `times.js`.
    """

    text: str
    stamp: str = ""
    form: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """One name's values, oldest first, and the number of its colour in all charts."""

    name: str
    values: list[float]
    colour: int

    @property
    def total(self) -> float:
        """All of them together."""
        return sum(self.values)

    @property
    def shown_total(self) -> str:
        """The same, for people."""
        return shown(self.total)


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle, in the picture's units."""

    x: float
    y: float
    width: float
    height: float
    colour: int
    step: Step
    says: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A number or a moment on an axis."""

    at: float
    text: str
    step: Step | None = None
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table below: a moment and its values, those of nothing left out."""

    step: Step
    cells: list[str]
    total: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture, and the same as a table."""

    name: str
    title: str
    series: list[Series]
    bars: list[Bar]
    lines: list[Mark]
    marks: list[Mark]
    rows: list[Row]
    total: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    bottom: int = HEIGHT - BOTTOM

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.bars

    @property
    def summary(self) -> str:
        """What a screen reader says in the picture's place."""
        parts = ", ".join(f"{line.name} {line.shown_total}" for line in self.series if line.total)
        return f"{self.title}: {parts or 'nothing'}. The table below has every value."


def chart(name: str, title: str, steps: Sequence[Step], series: list[Series]) -> Chart:
    """Draw it."""
    columns = list(zip(*(line.values for line in series), strict=True)) if series else []
    totals = [sum(column) for column in columns] or [0.0] * len(steps)
    top = ceiling(max(totals, default=0))
    width = (WIDTH - LEFT - RIGHT) / max(1, len(steps))
    bars = [bar for i, step in enumerate(steps) for bar in _column(i, step, series, width, top)]
    return Chart(
        name=name,
        title=title,
        series=series,
        bars=bars,
        lines=[
            Mark(round(_y(top * tick / TICKS, top), 1), shown(top * tick / TICKS))
            for tick in range(TICKS + 1)
        ],
        marks=_x_marks(steps, width),
        rows=_rows(steps, columns, totals),
        total=shown(sum(totals)),
    )


def _column(i: int, step: Step, series: list[Series], width: float, top: float) -> list[Bar]:
    bars, below = [], 0.0
    for line in series:
        value = line.values[i]
        if value <= 0:
            continue
        upper, lower = _y(below + value, top), _y(below, top)
        bars.append(
            Bar(
                x=round(LEFT + i * width + width * GAP / 2, 1),
                y=round(upper, 1),
                width=round(width * (1 - GAP), 1),
                height=round(max(lower - upper, 0.5), 1),
                colour=line.colour,
                step=step,
                says=f", {line.name}: {shown(value)}",
            )
        )
        below += value
    return bars


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def _x_marks(steps: Sequence[Step], width: float) -> list[Mark]:
    every, last = max(1, -(-len(steps) // X_LABELS)), len(steps) - 1
    return [
        # The last one ends where the picture does.
        Mark(
            WIDTH - RIGHT if i == last else round(LEFT + (i + 0.5) * width, 1),
            step.text,
            step,
            is_last=i == last,
        )
        for i, step in enumerate(steps)
        if (last - i) % every == 0
    ]


def _rows(
    steps: Sequence[Step], columns: Sequence[Sequence[float]], totals: Sequence[float]
) -> list[Row]:
    """Newest first; moments in which nothing happened are left out."""
    found = [
        Row(step, [shown(value) if value else "" for value in column], shown(total))
        for step, column, total in zip(steps, columns, totals, strict=False)
        if total
    ]
    return found[::-1]


def ceiling(value: float) -> float:
    """A round number at or above the value, divisible by the ticks; 3 for nothing."""
    if value <= 0:
        return float(TICKS)
    size = 1.0
    while size * TICKS * 10 < value:
        size *= 10
    while size * TICKS > value:
        size /= 10
    for step in (1, 2, 3, 4, 5, 6, 8, 10):
        if size * step * TICKS >= value:
            return size * step * TICKS
    return size * 10 * TICKS


def shown(value: float) -> str:
    """A number for people: 1,234 or 12.3k or 0.0042."""
    for limit, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            scaled = value / (1e3 if sign == "k" else limit)
            return f"{scaled:.3g}{sign}" if scaled < 100 else f"{scaled:.0f}{sign}"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.2f}" if value >= 1 else f"{value:.2g}"


def seconds(value: float | None) -> str:
    """Seconds or milliseconds; a dash for nothing known."""
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
