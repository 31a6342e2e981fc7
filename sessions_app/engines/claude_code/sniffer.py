"""What the relay reads off a passing Messages API answer, without holding it up.

The bytes go on untouched; here their events are told apart just enough to know whether
content arrived (a `ping` is none), what was counted, and whether the answer is whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from operator import attrgetter
from typing import Any

import orjson

from sessions_app.engines import prices
from sessions_app.engines.events import Usage
from sessions_app.engines.frames import FrameSplitter, FrameTooLong

_NOT_IN_THE_SUM = ("advisor_message", "compaction")
_WRITTEN = ("text", "thinking", "partial_json")
_PER_TOKEN = 4
"""Letters that a token has, roughly."""


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
    """Counts one answer into a tally, as it grows: an answer may be left half-way.

    What has passed since the answer told its tokens last is estimated, until it tells again.
    """

    tally: Tally
    _model: str = ""
    _told: Usage = field(default_factory=Usage)
    _beside: list[tuple[str, Usage]] = field(default_factory=list)
    _untold: int = 0
    _token_price: Decimal = Decimal(0)
    _counted: Usage = field(default_factory=Usage)
    _cost: Decimal = Decimal(0)

    def tell(self, usage: dict[str, Any], model: str = "") -> None:
        """Take over a `usage` object; each one tells the answer's sums so far."""
        self._model = self.tally.model = model or self._model
        self._told = _larger(self._told, Usage.read(usage))
        if parts := usage.get("iterations"):
            self._beside = [
                (part.get("model") or self._model, Usage.read(part))
                for part in parts
                if part.get("type") in _NOT_IN_THE_SUM
            ]
        self._replace_estimate()

    def pass_on(self, delta: dict[str, Any]) -> None:
        """Count what the model has written just now."""
        texts = (delta.get(name) or "" for name in _WRITTEN)
        self._untold += sum(map(len, texts)) + (delta.get("estimated_tokens") or 0) * _PER_TOKEN
        tokens, self._untold = divmod(self._untold, _PER_TOKEN)
        if tokens:
            # Not by `_replace_estimate`, which costs ten times as much for each delta.
            cost = tokens * self._token_price
            self.tally.cost += cost
            self.tally.usage = _with_output(self.tally.usage, tokens)
            self._cost += cost
            self._counted = _with_output(self._counted, tokens)

    def _replace_estimate(self) -> None:
        cost, usage = Decimal(0), Usage()
        for model, part in [(self._model, self._told), *self._beside]:
            cost += prices.cost(model, part)
            usage = _sum(usage, part, Usage())
        self.tally.cost += cost - self._cost
        self.tally.usage = _sum(self.tally.usage, usage, self._counted)
        self._cost, self._counted, self._untold = cost, usage, 0
        one_more = prices.cost(self._model, _with_output(self._told, 1))
        self._token_price = one_more - prices.cost(self._model, self._told)


def _with_output(usage: Usage, tokens: int) -> Usage:
    return replace(usage, output_tokens=usage.output_tokens + tokens)


_counts = attrgetter(*(field.name for field in fields(Usage)))


def _larger(one: Usage, other: Usage) -> Usage:
    return Usage(*map(max, _counts(one), _counts(other)))


def _sum(total: Usage, now: Usage, before: Usage) -> Usage:
    counts = zip(_counts(total), _counts(now), _counts(before), strict=True)
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
            self._counter.tell(message.get("usage") or {}, message.get("model") or "")
        elif kind == "content_block_delta":
            self._counter.pass_on(event.get("delta") or {})
        elif kind == "message_delta":
            self._counter.tell(event.get("usage") or {})
        elif kind == "error":
            self.error = event.get("error") or {}
        elif kind == "message_stop":
            self.ended = True
        return kind != "ping"


def count_whole(body: bytes, tally: Tally) -> None:
    """Count an answer that was not streamed."""
    message = json_object(body)
    if isinstance(message.get("usage"), dict):
        Counter(tally).tell(message["usage"], message.get("model") or "")


def json_object(data: bytes) -> dict[str, Any]:
    """JSON as an object; an empty one for anything else."""
    try:
        parsed = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
