"""The fold from raw Messages API stream events to the assistant message they describe.

Pure: no network, no clock. What it does not know it skips and counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from sessions_app.engines.events import Usage

# The field of a content block that a delta adds to, and the field that the delta has it in.
_GROWING = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "input_json_delta": ("input", "partial_json"),
}

_CHARACTERS_PER_TOKEN = 4


class MalformedStream(ValueError):
    """The events are not those of a Messages API stream, or not in an order that makes sense."""


class _Block:
    """One content block while it grows."""

    __slots__ = ("closed", "pieces", "start")

    def __init__(self, start: dict[str, Any]) -> None:
        self.start = start
        self.pieces: dict[str, list[str]] = {}
        self.closed = False

    def value(self) -> dict[str, Any] | None:
        """The block as the Messages API would take it back; None while that makes no sense.

        Half a text is a text; half a thought has no signature, and half a tool call no input.
        """
        block = dict(self.start)
        for field, pieces in self.pieces.items():
            if field != "input":
                block[field] = (block.get(field) or "") + "".join(pieces)
        if "input" in self.pieces:
            try:
                block["input"] = orjson.loads("".join(self.pieces["input"]) or "{}")
            except orjson.JSONDecodeError:
                return None
        if self.closed or (block.get("type") == "text" and block.get("text")):
            return block
        return block if block.get("type") == "thinking" and block.get("signature") else None

    def characters(self) -> int:
        return sum(len(piece) for pieces in self.pieces.values() for piece in pieces)


class Fold:
    """Takes the events of one reply, one by one.

    Attributes:
        complete: `message_stop` has come: only then is the reply whole.
        skipped: how many events and deltas were of kinds that we do not know.
    """

    def __init__(self) -> None:
        self.complete = False
        self.skipped = 0
        self._head: dict[str, Any] | None = None
        self._tail: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._blocks: dict[int, _Block] = {}

    def apply(self, event: dict[str, Any]) -> None:
        """Take in one decoded event.

        Raises:
            MalformedStream: the event lacks what its type promises, or comes out of order.
        """
        try:
            self._apply(event)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, MalformedStream):
                raise
            raise MalformedStream("an event without the fields of its type") from error

    def _apply(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if self._head is None and kind != "message_start" and kind != "ping":
            raise MalformedStream("events before message_start")
        if kind == "content_block_delta":
            self._grow(self._blocks[event["index"]], event["delta"])
        elif kind == "content_block_start":
            self._blocks[event["index"]] = _Block(dict(event["content_block"]))
        elif kind == "content_block_stop":
            self._blocks[event["index"]].closed = True
        elif kind == "message_start":
            self._begin(dict(event["message"]))
        elif kind == "message_delta":
            self._tail.update(event["delta"])
            self._count(event.get("usage"))
        elif kind == "message_stop":
            self.complete = True
        elif kind != "ping":
            self.skipped += 1

    def _begin(self, message: dict[str, Any]) -> None:
        if self._head is not None:
            raise MalformedStream("a second message_start")
        self._head = message
        self._count(message.get("usage"))

    def _grow(self, block: _Block, delta: dict[str, Any]) -> None:
        kind = delta["type"]
        if kind in _GROWING:
            field, source = _GROWING[kind]
            piece = delta[source]
            if not isinstance(piece, str):
                raise MalformedStream(f"{kind} without text")
            block.pieces.setdefault(field, []).append(piece)
        elif kind == "citations_delta":
            block.start["citations"] = [*(block.start.get("citations") or ()), delta["citation"]]
        else:
            self.skipped += 1

    def _count(self, usage: dict[str, Any] | None) -> None:
        """Counts are cumulative, so they replace; what is absent or null keeps its value."""
        if usage is not None:
            self._usage.update({key: value for key, value in usage.items() if value is not None})

    @property
    def started(self) -> bool:
        """Whether the upstream has begun to answer, which is when it begins to cost."""
        return self._head is not None

    @property
    def model(self) -> str:
        """The model that serves, as the upstream names it; empty before it has."""
        return str((self._head or {}).get("model") or "")

    @property
    def stop_reason(self) -> str | None:
        """`end_turn`, `max_tokens`, `refusal`, …; None until the upstream has said."""
        reason = self._tail.get("stop_reason")
        return reason if isinstance(reason, str) else None

    @property
    def text(self) -> str:
        """The text of the reply so far, without thinking and tools."""
        return "".join(block["text"] for block in self._content() if block["type"] == "text")

    @property
    def usage(self) -> Usage:
        """What the reply has cost in tokens so far.

        The upstream counts its output only at the end. Of a reply that was broken off we know
        the text alone, and estimate a token for four characters: it will be billed all the same.
        """
        told = Usage.read(self._usage)
        return replace(told, output_tokens=max(told.output_tokens, self._estimate()))

    def message(self) -> dict[str, Any]:
        """The assistant message: whole, or what of it has arrived and can be sent back.

        Its `stop_reason` is None exactly when the reply was broken off.
        """
        head = {"id": "", "type": "message", "role": "assistant", **(self._head or {})}
        ending: dict[str, Any] = {"stop_reason": None, "stop_sequence": None}
        if self.complete:
            ending.update(self._tail)
        usage = self._usage | {"output_tokens": self.usage.output_tokens}
        return head | {"content": list(self._content())} | ending | {"usage": usage}

    def _content(self) -> Iterator[dict[str, Any]]:
        for index in sorted(self._blocks):
            block = self._blocks[index].value()
            if block is not None:
                yield block

    def _estimate(self) -> int:
        if "stop_reason" in self._tail:
            return 0
        characters = sum(block.characters() for block in self._blocks.values())
        return -(-characters // _CHARACTERS_PER_TOKEN)
