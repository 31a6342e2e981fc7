"""What engines yield."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Self

THINKING = ("thinking", "redacted_thinking")
"""Kinds of blocks that no later request has again."""

_MAX_TOKENS = 10**9
"""More than any reply has: a larger count is a mistake that must not spoil our sums."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one run.

    Attributes:
        hour_cache_tokens: those of `cache_creation_tokens` that the cache keeps for an hour,
            which costs more.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0
    hour_cache_tokens: int = 0

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        """A `usage` object of the Messages API; what is no proper count counts nothing."""
        written = _tokens(told, "cache_creation_input_tokens")
        lifetimes = told.get("cache_creation")
        by_lifetime = lifetimes if isinstance(lifetimes, dict) else {}
        return cls(
            input_tokens=_tokens(told, "input_tokens"),
            output_tokens=_tokens(told, "output_tokens"),
            cache_read_tokens=_tokens(told, "cache_read_input_tokens"),
            cache_creation_tokens=written,
            hour_cache_tokens=min(written, _tokens(by_lifetime, "ephemeral_1h_input_tokens")),
        )


def _tokens(told: Mapping[str, Any], name: str) -> int:
    count = told.get(name)
    return min(max(count, 0), _MAX_TOKENS) if isinstance(count, int) else 0


@dataclass(frozen=True, slots=True)
class Delta:
    """A raw streaming event of the Messages API, one line of JSON: it is passed on, not kept."""

    raw: bytes


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole Claude message (`assistant`, `user`, `system` or `result`): it is history.

    Attributes:
        body: the Claude message object, with its `type` (and `subtype`).
        urgent: a client must not lose it: it is written at once.
        kept: it belongs into the message history (status notes do not).
    """

    body: dict[str, Any]
    urgent: bool = False
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a turn that the engine answered.

    Attributes:
        status: `completed`, or `cancelled` when the host asked for it.
        text: the final text, which a waiting POST answers as `response`.
        stop_reason: as the Messages API says it: `end_turn`, `max_tokens`, `refusal`, …
        cost_usd: US dollars, from the price table or the agent's own sum.
        model: the model that served, as the upstream named it.
    """

    status: Literal["completed", "cancelled"]
    text: str = ""
    stop_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    cost_usd: Decimal = Decimal(0)
    model: str = ""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the turn has cost so far, told before it fails: failures are paid for too."""

    usage: Usage
    cost_usd: Decimal
    model: str = ""


EngineEvent = Delta | Whole | Spent | Finished
