"""What engines yield."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one run."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0


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
