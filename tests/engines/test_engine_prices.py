"""What tokens cost, exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sessions_app.engines.events import Usage
from sessions_app.engines.prices import cost, price_of


def test_a_request_costs_the_sum_of_its_parts_exactly() -> None:
    usage = Usage(input_tokens=1, output_tokens=3, cache_read_tokens=7, cache_creation_tokens=11)

    # (1 * 2 + 3 * 10 + 7 * 0.10 + 11 * 2.50) / 1,000,000
    assert cost("claude-sonnet-5-5", usage) == Decimal("0.0000602")


def test_what_the_cache_keeps_for_an_hour_costs_twice_the_input() -> None:
    usage = Usage(cache_creation_tokens=1_000_000, hour_cache_tokens=400_000)

    # 0.4 * 2 * 4 + 0.6 * 5
    assert cost("claude-opus-5-5", usage) == Decimal("6.2")


def test_nothing_costs_nothing() -> None:
    assert cost("claude-opus-5-5", Usage()) == 0


def test_a_long_prompt_changes_the_price_of_the_whole_request() -> None:
    short = Usage(input_tokens=40_000, cache_read_tokens=60_000, output_tokens=1_000_000)
    long = Usage(input_tokens=40_001, cache_read_tokens=60_000, output_tokens=1_000_000)

    assert cost("claude-haiku-5-5", short) == Decimal("0.5046")
    assert cost("claude-haiku-5-5", long) == Decimal("2.5230005")


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("claude-opus-4-20250514", "claude-opus-4-1"),
        ("claude-opus-4-5-20251101", "claude-opus-5"),
        ("us.anthropic.claude-opus-5-5-v1:0", "claude-opus-5-5"),
        ("claude-opus-4@20250514", "claude-opus-4-0"),
        ("claude-3-5-haiku-20241022", "claude-haiku-3-5"),
        ("claude-3-7-sonnet-latest", "claude-sonnet-4-6"),
        ("claude-sonnet-5-5[1m]", "claude-sonnet-5-5"),
        ("claude-sonnet-6", "claude-sonnet-5-5"),
        ("claude-fable-5-9", "claude-fable-5-2"),
        ("claude-opus-2", "claude-opus-3"),
        ("anthropic/claude-haiku-latest", "claude-haiku-5-5"),
        ("something-else-entirely", "claude-opus-5-5"),
    ],
)
def test_an_unknown_model_has_the_price_of_its_nearest_relative(model: str, known: str) -> None:
    assert price_of(model) is price_of(known)


def test_neighbours_do_not_share_a_price_by_accident() -> None:
    models = ["claude-opus-4-1", "claude-opus-5", "claude-opus-5-5", "claude-sonnet-4-6"]
    assert len({id(price_of(model)) for model in models}) == len(models)
