"""What the relay reads off a passing Messages API answer, without holding it up.

The bytes go on untouched; here their events are told apart just enough to know whether
content arrived (a `ping` is none), what was counted, and whether the answer is whole.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from sessions_app.engines import prices
from sessions_app.engines.events import Usage
from sessions_app.engines.frames import FrameSplitter, FrameTooLong


@dataclass(slots=True)
class Tally:
    """What the upstream has counted in one run, over all answers.

    Attributes:
        usage: tokens.
        cost: US dollars, from our own price table.
        model: the model that served last.
    """

    usage: Usage = field(default_factory=Usage)
    cost: Decimal = Decimal(0)
    model: str = ""


@dataclass(slots=True)
class Counter:
    """Counts one answer into a tally, as it grows: an answer may be left half-way."""

    tally: Tally
    _model: str = ""
    _usage: Usage = field(default_factory=Usage)

    def count(self, usage: dict[str, Any], model: str = "") -> None:
        """Take over a `usage` object; each one tells the answer's sums so far."""
        now, before = _larger(self._usage, Usage.read(usage)), self._usage
        self._model = self.tally.model = model or self._model
        self.tally.cost += prices.cost(self._model, now) - prices.cost(self._model, before)
        self.tally.usage = _sum(self.tally.usage, now, before)
        self._usage = now


def _larger(one: Usage, other: Usage) -> Usage:
    return Usage(*map(max, astuple(one), astuple(other)))


def _sum(total: Usage, now: Usage, before: Usage) -> Usage:
    counts = zip(astuple(total), astuple(now), astuple(before), strict=True)
    return Usage(*(so_far + new - old for so_far, new, old in counts))


class StreamSniffer:
    """Reads one `text/event-stream` answer as it passes.

    Attributes:
        error: the body of an `error` event in mid-stream.
        ended: the answer was whole: its `message_stop` has passed.
    """

    def __init__(self, tally: Tally) -> None:
        self.error: dict[str, Any] | None = None
        self.ended = False
        self._counter = Counter(tally)
        self._frames: FrameSplitter | None = FrameSplitter()

    def feed(self, chunk: bytes) -> bool:
        """Look at the next bytes; whether there was content among them."""
        if self._frames is None:
            return True
        try:
            events = self._frames.feed(chunk)
        except FrameTooLong:
            # It passes on all the same; what comes after is not understood any more.
            self._frames = None
            return True
        contents = [self._read(json_object(data)) for data in events]
        return any(contents)

    def _read(self, event: dict[str, Any]) -> bool:
        """Take in one event; whether it is content."""
        kind = event.get("type")
        if kind == "message_start":
            message = event.get("message") or {}
            self._counter.count(message.get("usage") or {}, message.get("model") or "")
        elif kind == "message_delta":
            self._counter.count(event.get("usage") or {})
        elif kind == "error":
            self.error = event.get("error") or {}
        elif kind == "message_stop":
            self.ended = True
        return kind != "ping"


def count_whole(body: bytes, tally: Tally) -> None:
    """Count an answer that was not streamed."""
    message = json_object(body)
    if isinstance(message.get("usage"), dict):
        Counter(tally).count(message["usage"], message.get("model") or "")


def json_object(data: bytes) -> dict[str, Any]:
    """JSON as an object; an empty one for anything else."""
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
