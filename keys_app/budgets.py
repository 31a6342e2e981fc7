"""For how much a key may be used: sums by the hour, budgets by the day and month of UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, Q, Sum
from django.utils import timezone

from claudeapi.core.errors import BudgetExceeded, timestamp
from keys_app.models import ApiKey, UsageSum

COST_QUANTUM = Decimal("0.000000001")


@dataclass(frozen=True)
class Budget:
    """One budget of a key: `period` is `day` or `month`, money in US dollars."""

    period: str
    budget: Decimal
    spent: Decimal
    resets_at: datetime

    @property
    def remaining(self) -> Decimal:
        """What is left, never below nothing."""
        return max(Decimal(0), self.budget - self.spent)

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left. What one run costs is known at its end only."""
        return self.spent >= self.budget

    def facts(self) -> dict[str, str]:
        """For the wire: decimal strings and a timestamp."""
        return {
            "budgetUsd": money(self.budget),
            "spentUsd": money(self.spent),
            "remainingUsd": money(self.remaining),
            "resetsAt": timestamp(self.resets_at),
        }

    def exceeded(self) -> dict[str, str]:
        """The details of a refusal."""
        when = {"period": self.period, "resetsAt": timestamp(self.resets_at)}
        return exceeded("key", self.budget, self.spent) | when


def check(key: ApiKey) -> None:
    """Pass while every budget of the key has something left.

    Raises:
        BudgetExceeded: with `{of, period, limitUsd, spentUsd, remainingUsd, resetsAt}`.
    """
    for budget in budgets(key):
        if budget.is_spent:
            raise BudgetExceeded(
                f"The key's budget for this {budget.period} is spent.",
                details=budget.exceeded(),
            )


def spent_by(key: ApiKey, cost: Decimal) -> dict[str, str]:
    """The details of a `BUDGET_EXCEEDED` in a run that has cost this and is not recorded yet.

    Of the budget that has least left. Empty where the key has none any more.
    """
    found = [replace(budget, spent=budget.spent + cost) for budget in budgets(key)]
    return min(found, key=lambda budget: budget.remaining).exceeded() if found else {}


def exceeded(of: str, limit: Decimal, spent: Decimal) -> dict[str, str]:
    """The details of every `BUDGET_EXCEEDED`; a key's budget adds its period, and its end.

    Args:
        of: whose budget it is, `key` or `session`.
    """
    left = max(Decimal(0), limit - spent)
    return {
        "of": of,
        "limitUsd": money(limit),
        "spentUsd": money(spent),
        "remainingUsd": money(left),
    }


def remaining(key: ApiKey) -> dict[str, dict[str, str] | None]:
    """`{day, month}`: what is left of each budget, None where there is none."""
    found = {budget.period: budget.facts() for budget in budgets(key)}
    return {"day": found.get("day"), "month": found.get("month")}


def budgets(key: ApiKey) -> list[Budget]:
    """The budgets that the key has, with what is spent of each now: one query, or none."""
    limits = {"day": key.budget_day_usd, "month": key.budget_month_usd}
    if all(limit is None for limit in limits.values()):
        return []
    day, month = _periods(timezone.now())
    spent = UsageSum.objects.filter(key=key, hour__gte=month[0]).aggregate(
        day=Sum("cost_usd", filter=Q(hour__gte=day[0])), month=Sum("cost_usd")
    )
    resets = {"day": day[1], "month": month[1]}
    return [
        Budget(period, limit, spent[period] or Decimal(0), resets[period])
        for period, limit in limits.items()
        if limit is not None
    ]


def record(
    key_id: UUID,
    engine: str,
    model: str,
    *,
    input_tokens: int = 0,
    output_tokens: int = 0,
    cache_read_tokens: int = 0,
    cache_creation_tokens: int = 0,
    cost_usd: Decimal = Decimal(0),
    runs: int = 1,
    at: datetime | None = None,
) -> None:
    """Add what a run used to its hour. Loses nothing to others who add at the same moment.

    Args:
        cost_usd: kept to a billionth.
        runs: 0 to add to a run that was counted before.
        at: when; now if not given.
    """
    hour = (at or timezone.now()).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    row = {"key_id": key_id, "hour": hour, "engine": engine, "model": model}
    added = {
        "runs": runs,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cache_read_tokens": cache_read_tokens,
        "cache_creation_tokens": cache_creation_tokens,
        "cost_usd": cost_usd.quantize(COST_QUANTUM),
    }
    if not _add(row, added):
        # Whoever else makes the row at the same moment: it is there afterwards, and empty.
        UsageSum.objects.bulk_create([UsageSum(**row)], ignore_conflicts=True)
        _add(row, added)


def money(amount: Decimal) -> str:
    """A decimal string without an exponent or needless zeros, at least in cents."""
    text = format(amount, "f")
    whole, _, cents = text.partition(".")
    return f"{whole}.{cents.rstrip('0').ljust(2, '0')}"


def _add(row: Mapping[str, Any], added: Mapping[str, Any]) -> int:
    sums = {name: F(name) + amount for name, amount in added.items()}
    return UsageSum.objects.filter(**row).update(**sums)


def _periods(now: datetime) -> tuple[tuple[datetime, datetime], tuple[datetime, datetime]]:
    """(start, end) of this day and of this month, in UTC."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    month = day.replace(day=1)
    next_month = (month + timedelta(days=32)).replace(day=1)
    return (day, day + timedelta(days=1)), (month, next_month)
