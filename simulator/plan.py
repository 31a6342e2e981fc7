"""What a reply consists of, as data: made by ``script.py``, played by ``playback.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from simulator.errors import ApiError
from simulator.tokens import CHARACTERS_PER_TOKEN

Kind = Literal["text", "thinking", "tool_use"]


@dataclass(frozen=True, slots=True)
class Content:
    """One content block, cut into the deltas it is streamed in.

    ``delay`` is the time between two deltas in seconds; ``head`` the fields of the block besides
    its type and its content (a tool's ``id`` and ``name``). Tool input is JSON text. A ``shaped``
    block was asked for in an exact size and is not cut at ``max_tokens``.
    """

    kind: Kind
    pieces: Sequence[str]
    delay: float = 0.0
    head: tuple[tuple[str, str], ...] = ()
    shaped: bool = False

    @property
    def tokens(self) -> int:
        """Estimated output tokens."""
        return max(1, -(-sum(map(len, self.pieces)) // CHARACTERS_PER_TOKEN))


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong in mid-stream, before delta number ``after`` (counted from 0).

    ``cut`` ends the connection; ``error`` sends an ``error`` event; ``stall`` sends nothing, or
    only pings, for ``seconds``, and then goes on.
    """

    kind: Literal["cut", "error", "stall"]
    after: int
    seconds: float = 0.0
    ping_every: float = 0.0
    error: ApiError | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One whole reply. ``silence`` is the time in seconds before the response head."""

    contents: tuple[Content, ...]
    stop_reason: str = "end_turn"
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    silence: float = 0.0
    faults: tuple[Fault, ...] = ()

    @property
    def output_tokens(self) -> int:
        """Estimated output tokens; never 0, as in the real API."""
        return sum(content.tokens for content in self.contents) or 1

    @property
    def thinking_tokens(self) -> int:
        """The part of the output tokens that is thinking."""
        return sum(content.tokens for content in self.contents if content.kind == "thinking")
