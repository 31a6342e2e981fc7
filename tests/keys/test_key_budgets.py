"""Sums and budgets: what is added at the same moment is not lost, what is spent is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from claudeapi.core.errors import BudgetExceeded
from keys_app import budgets
from keys_app.models import UsageSum


def test_runs_of_one_hour_engine_and_model_share_a_row(alice: Any) -> None:
    at = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)
    for minutes, model in ((0, "one"), (30, "one"), (30, "two"), (50, "one")):
        budgets.record(
            alice.key.pk, "messages", model, input_tokens=3, output_tokens=5,
            cache_read_tokens=7, cache_creation_tokens=11, cost_usd=Decimal("0.000000125"),
            at=at + timedelta(minutes=minutes),
        )  # fmt: skip
    rows = UsageSum.objects.order_by("hour", "model").values_list("hour__hour", "model", "runs")
    assert list(rows) == [(10, "one", 2), (10, "two", 1), (11, "one", 1)]
    row = UsageSum.objects.get(hour__hour=10, model="one")
    assert (row.input_tokens, row.output_tokens) == (6, 10)
    assert (row.cache_read_tokens, row.cache_creation_tokens) == (14, 22)
    assert row.cost_usd == Decimal("0.000000250")


def test_a_key_without_budgets_costs_no_query(alice: Any, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        budgets.check(alice.key)
    assert budgets.remaining(alice.key) == {"day": None, "month": None}


def test_a_spent_day_is_refused_with_its_figures(
    issue: Any, django_assert_num_queries: Any
) -> None:
    key = issue(budget_day_usd=Decimal(2), budget_month_usd=Decimal(50)).key
    budgets.record(key.pk, "messages", "m", cost_usd=Decimal("1.5"))
    with django_assert_num_queries(1):
        budgets.check(key)
    budgets.record(key.pk, "messages", "m", cost_usd=Decimal("0.5"))
    with pytest.raises(BudgetExceeded) as refused:
        budgets.check(key)
    details = refused.value.details
    assert (details["period"], details["spentUsd"], details["remainingUsd"]) == (
        "day", "2.00", "0.00",
    )  # fmt: skip
    assert details["resetsAt"].endswith("T00:00:00.000Z")
    assert budgets.remaining(key)["month"]["remainingUsd"] == "48.00"  # type: ignore[index]


def test_a_run_that_spends_a_budget_is_told_of_the_one_with_least_left(issue: Any) -> None:
    key = issue(budget_day_usd=Decimal(2), budget_month_usd=Decimal(3)).key
    budgets.record(key.pk, "messages", "m", cost_usd=Decimal("1.5"))

    details = budgets.spent_by(key, Decimal("0.75"))

    assert (details["of"], details["period"]) == ("key", "day")
    assert (details["limitUsd"], details["spentUsd"]) == ("2.00", "2.25")
    assert details["remainingUsd"] == "0.00"
    assert budgets.spent_by(issue().key, Decimal(1)) == {}


@pytest.mark.parametrize(
    ("spent_at", "day", "month"),
    [
        (datetime(2026, 12, 31, 0, 30, tzinfo=UTC), "1.00", "1.00"),
        (datetime(2026, 12, 30, 23, 30, tzinfo=UTC), "0.00", "1.00"),
        (datetime(2026, 11, 30, 23, 30, tzinfo=UTC), "0.00", "0.00"),
    ],
)
def test_days_and_months_begin_at_midnight_utc(
    issue: Any, monkeypatch: pytest.MonkeyPatch, spent_at: datetime, day: str, month: str
) -> None:
    key = issue(budget_day_usd=Decimal(5), budget_month_usd=Decimal(5)).key
    budgets.record(key.pk, "messages", "m", cost_usd=Decimal(1), at=spent_at)
    now = datetime(2026, 12, 31, 22, 0, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: now)
    left = budgets.remaining(key)
    assert left["day"] is not None
    assert left["month"] is not None
    assert (left["day"]["spentUsd"], left["month"]["spentUsd"]) == (day, month)
    assert left["month"]["resetsAt"] == "2027-01-01T00:00:00.000Z"


def test_a_budget_of_nothing_refuses_at_once(issue: Any) -> None:
    with pytest.raises(BudgetExceeded):
        budgets.check(issue(budget_day_usd=Decimal(0)).key)


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0.00"), ("1E+3", "1000.00"), ("0.1234567", "0.1234567"), ("2.5000", "2.50")],
)
def test_money_is_a_plain_decimal_string(amount: str, text: str) -> None:
    assert budgets.money(Decimal(amount)) == text


@pytest.mark.django_db(transaction=True)
def test_sums_added_in_parallel_lose_nothing(issue: Any, in_parallel: Any) -> None:
    key = issue().key
    at = timezone.now()

    def add() -> None:
        for _ in range(5):
            budgets.record(
                key.pk, "messages", "m", input_tokens=2, cost_usd=Decimal("0.001"), at=at
            )

    assert in_parallel(8, add) == [None] * 8
    row = UsageSum.objects.get()
    assert (row.runs, row.input_tokens, row.cost_usd) == (40, 80, Decimal("0.040"))
