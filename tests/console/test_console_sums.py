"""Sums of runs: written with the run, exact, and made coarser without losing anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum

from console.overview import charts, drawing
from console.overview.charts import Choice
from keys_app.models import ApiKey
from sessions_app import runstats
from sessions_app.models import Run, RunStat

NOON = datetime(2026, 11, 22, 12, 0, 30, tzinfo=UTC)


@pytest.fixture
def alice(db: None) -> ApiKey:
    return ApiKey.objects.create(name="Alice", secret_hash="a" * 64)


def ended(key: ApiKey, at: datetime, *, model: str = "one", **fields: Any) -> None:
    run = Run(
        key=key,
        created_at=at,
        first_delta_at=at + timedelta(seconds=0.25),
        input_tokens=10,
        output_tokens=5,
        **{"cost_usd": Decimal("0.001"), **fields},
    )
    runstats.record(run, "messages", model, at)


def total(field: str) -> Any:
    return RunStat.objects.aggregate(n=Sum(field))["n"]


def test_runs_of_one_minute_are_one_row(alice: ApiKey) -> None:
    for second in range(5):
        ended(alice, NOON + timedelta(seconds=second))
    row = RunStat.objects.get()
    assert (row.runs, row.input_tokens, row.cost_usd) == (5, 50, Decimal("0.005"))
    assert row.at == NOON.replace(second=0)


def test_a_failure_is_counted_by_its_code(alice: ApiKey) -> None:
    ended(alice, NOON, error={"code": "UPSTREAM_TIMEOUT"})
    ended(alice, NOON)
    assert set(RunStat.objects.values_list("code", "runs")) == {("UPSTREAM_TIMEOUT", 1), ("", 1)}


def test_a_run_costs_one_update_once_its_minute_has_a_row(
    alice: ApiKey, django_assert_num_queries: Any
) -> None:
    ended(alice, NOON)
    with django_assert_num_queries(1):
        ended(alice, NOON)


def test_old_minutes_become_hours_and_old_hours_days_and_nothing_is_lost(alice: ApiKey) -> None:
    for hours in range(0, 24 * 5, 3):
        for minute in range(0, 30, 10):
            ended(alice, NOON - timedelta(hours=hours, minutes=minute))
    runs, cost = total("runs"), total("cost_usd")
    runstats.compact(NOON)
    runstats.compact(NOON)
    assert (total("runs"), total("cost_usd")) == (runs, cost)
    spans = RunStat.objects.values_list("span", flat=True)
    assert set(spans) == {RunStat.MINUTE, RunStat.HOUR, RunStat.DAY}
    assert RunStat.objects.count() < runs / 2


def test_what_is_recent_stays_by_the_minute(alice: ApiKey) -> None:
    ended(alice, NOON - timedelta(minutes=90))
    runstats.compact(NOON)
    assert RunStat.objects.get().span == RunStat.MINUTE


def test_very_old_sums_are_forgotten(alice: ApiKey) -> None:
    ended(alice, NOON - runstats.DAYS_KEPT - timedelta(days=2))
    runstats.compact(NOON)
    assert not RunStat.objects.exists()


@pytest.mark.parametrize(
    ("counts", "share", "low", "high"),
    [
        ({4: 100}, 0.5, 0.2, 0.3),
        ({0: 95, 19: 5}, 0.5, 0.0, 0.05),
        ({0: 90, 10: 10}, 0.95, 2.0 - 0.5, 2.0),
    ],
)
def test_a_percentile_lies_in_its_bucket(
    counts: dict[int, int], share: float, low: float, high: float
) -> None:
    found = runstats.percentile(counts, share)
    assert found is not None
    assert low <= found <= high


def test_nothing_has_no_percentile() -> None:
    assert runstats.percentile({}, 0.5) is None


@pytest.mark.parametrize("span", charts.SPANS)
def test_each_chart_shows_all_runs_of_its_span(span: str, alice: ApiKey) -> None:
    reach = {"hour": timedelta(minutes=2), "day": timedelta(hours=1), "month": timedelta(days=1)}
    for step in range(20):
        ended(alice, NOON - step * reach[span])
    runstats.compact(NOON)
    drawn = charts.draw(Choice(span, "engine"), NOON).charts
    assert [chart.name for chart in drawn] == ["n_runs", "tokens", "cost"]
    assert drawn[0].total == "20"
    assert sum(int(row.total) for row in drawn[0].rows) == 20


def test_many_groups_become_the_largest_and_all_others(alice: ApiKey) -> None:
    for number in range(9):
        for _ in range(number + 1):
            ended(alice, NOON, model=f"model-{number}")
    drawn = charts.draw(Choice("hour", "model"), NOON)
    largest = [f"model-{number}" for number in range(4, 9)]
    assert [line.name for line in drawn.legend] == [*largest, charts.OTHERS]
    assert drawn.charts[0].total == "45"


def test_a_name_has_one_colour_in_all_charts(alice: ApiKey) -> None:
    for number in range(7):
        for _ in range(number + 1):
            ended(alice, NOON, model=f"model-{number}", cost_usd=Decimal(7 - number))
    drawn = charts.draw(Choice("hour", "model"), NOON)
    colours = [{line.name: line.colour for line in chart.series} for chart in drawn.charts]
    assert colours[0] == colours[1] == colours[2]
    assert {bar.colour for bar in drawn.charts[2].bars} == set(colours[0].values())


def test_what_cost_nothing_has_no_chart_of_its_cost(alice: ApiKey) -> None:
    assert charts.draw(Choice(), NOON).is_empty
    ended(alice, NOON, cost_usd=Decimal(0))
    drawn = charts.draw(Choice(), NOON)
    assert [chart.is_empty for chart in drawn.charts] == [False, False, True]


def test_keys_are_named_and_outcomes_too(alice: ApiKey) -> None:
    ended(alice, NOON)
    [line] = charts.draw(Choice("hour", "key"), NOON).legend
    assert line.name.startswith("Alice (")
    [line] = charts.draw(Choice("hour", "code"), NOON).legend
    assert line.name == "completed"


def test_bars_of_one_column_stand_on_each_other() -> None:
    lines = [drawing.Series("x", [2.0], 1), drawing.Series("y", [1.0], 2)]
    drawn = drawing.chart("runs", "Runs", [drawing.Step("a")], lines)
    below, above = drawn.bars
    assert above.y + above.height == pytest.approx(below.y, abs=0.2)
    assert below.y + below.height == pytest.approx(drawn.bottom, abs=0.2)


@pytest.mark.parametrize("value", [0.0004, 0.7, 1, 3, 24, 999, 1234567.0])
def test_the_scale_ends_at_or_above_the_highest_value(value: float) -> None:
    assert value <= drawing.ceiling(value) <= max(value * 3.1, 3 * drawing.TICKS)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234, "1,234"), (12345, "12.3k"), (5e6, "5M"), (0.0042, "0.0042"), (1.5, "1.50")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert drawing.shown(value) == text
