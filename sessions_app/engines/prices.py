"""What tokens cost: the one price table, in US dollars per million tokens.

Source: https://platform.claude.com/docs/en/about-claude/pricing, as of 2026-11-22, compared row by
row with the model catalogue inside Claude Code 2.1.330. List prices of Anthropic's own API: a
discount, a priority tier, fast mode and regional surcharges are not in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from sessions_app.engines.events import Usage

AS_OF = "2026-11-22"
"""The day on which the table was last compared with its source."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens.

    Attributes:
        cache_write: for the cache that lives five minutes, the one we ask for; one that lives
            an hour costs twice the input.
        long_prompt: another price for the whole request once its prompt, cached parts
            included, has more tokens than `long_above`.
    """

    input: Decimal
    output: Decimal
    cache_write: Decimal
    cache_read: Decimal
    long_above: int = 0
    long_prompt: Price | None = None


def _price(dollars: str, *, long_above: int = 0, long_prompt: Price | None = None) -> Price:
    reading, writing, cache_write, cache_read = map(Decimal, dollars.split())
    return Price(reading, writing, cache_write, cache_read, long_above, long_prompt)


# Family → the version from which a price holds, oldest first.
#                        input output write read
PRICES: dict[str, dict[tuple[int, int], Price]] = {
    "fable": {
        (5, 0): _price("10    50    12.50  1"),
        (5, 1): _price("10    50    12.50  0.25"),
        (5, 2): _price("8     40    10     0.20"),
    },
    "mythos": {
        (5, 0): _price("10    50    12.50  1"),
        (5, 1): _price("10    50    12.50  0.25"),
        (5, 2): _price("8     40    10     0.20"),
    },
    "opus": {
        (3, 0): _price("15    75    18.75  1.50"),
        (4, 5): _price("5     25    6.25   0.50"),
        (5, 5): _price("4     20    5      0.20"),
    },
    "sonnet": {
        (3, 0): _price("3     15    3.75   0.30"),
        (5, 0): _price("2     10    2.50   0.20"),
        (5, 5): _price("2     10    2.50   0.10"),
    },
    "haiku": {
        (3, 0): _price("0.25  1.25  0.30   0.03"),
        (3, 5): _price("0.80  4     1      0.08"),
        (4, 5): _price("1     5     1.25   0.10"),
        (5, 5): _price(
            "0.10  0.50  0.125  0.01",
            long_above=100_000,
            long_prompt=_price("0.50  2.50  0.625  0.05"),
        ),
    },
}

FALLBACK_FAMILY = "opus"

_HOUR_CACHE_TIMES_INPUT = 2

_VERSION = r"(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?!\d)"
_AFTER = re.compile(rf"(?:{'|'.join(PRICES)})-{_VERSION}")
_BEFORE = re.compile(rf"claude-{_VERSION}-(?:{'|'.join(PRICES)})")


def price_of(model: str) -> Price:
    """The price of a model, known or not.

    The family is the family's word in the name (`us.anthropic.claude-sonnet-5-5-v1:0` is a
    sonnet); a name without one is priced as an opus. Within the family the price is that of the
    newest version in the table that is not newer than the model's; of the oldest one for models
    older than the table; of the newest one for a name without a version.
    """
    name = model.lower()
    family = next((family for family in PRICES if family in name), FALLBACK_FAMILY)
    rows = PRICES[family]
    version = _version(name) or max(rows)
    return rows[max((start for start in rows if start <= version), default=min(rows))]


def cost(model: str, usage: Usage) -> Decimal:
    """What one request has cost, in US dollars, exactly (not rounded to cents)."""
    price = price_of(model)
    hour = usage.hour_cache_tokens
    prompt = usage.input_tokens + usage.cache_read_tokens + usage.cache_creation_tokens
    if price.long_prompt is not None and prompt > price.long_above:
        price = price.long_prompt
    millionths = (
        usage.input_tokens * price.input
        + usage.output_tokens * price.output
        + (usage.cache_creation_tokens - hour) * price.cache_write
        + hour * price.input * _HOUR_CACHE_TIMES_INPUT
        + usage.cache_read_tokens * price.cache_read
    )
    return millionths.scaleb(-6)


def _version(name: str) -> tuple[int, int] | None:
    found = _AFTER.search(name) or _BEFORE.search(name)
    return (int(found["major"]), int(found["minor"] or 0)) if found else None
