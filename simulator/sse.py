"""The Messages API's events as server-sent events, ready-made bytes wherever possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from simulator.errors import ApiError
from simulator.plan import Content, Kind, Plan
from simulator.prompt_cache import InputUsage

_DELTA_FIELD = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "tool_use": ("input_json_delta", "partial_json"),
}
_EMPTY: dict[str, dict[str, Any]] = {
    "text": {"text": ""},
    "thinking": {"thinking": "", "signature": ""},
    "tool_use": {"input": {}},
}

SIGNATURE = "c2ltdWxhdGVkIHNpZ25hdHVyZQ=="
"""The signature of every thinking block; the simulator takes any back."""


def _frame(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event))


PING = _frame({"type": "ping"})
MESSAGE_STOP = _frame({"type": "message_stop"})


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a reply carries besides its content: ids, the model, and the usage of its prompt."""

    message_id: str
    request_id: str
    model: str
    usage: InputUsage

    def message(self, plan: Plan | None = None) -> dict[str, Any]:
        """The message object: whole with a ``plan``, else as ``message_start`` has it."""
        return {
            "id": self.message_id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [_whole(content) for content in plan.contents] if plan else [],
            "stop_reason": plan.stop_reason if plan else None,
            "stop_sequence": plan.stop_sequence if plan else None,
            "stop_details": plan.stop_details if plan else None,
            "usage": self._usage(plan),
        }

    def message_start(self) -> bytes:
        """The first event."""
        return _frame({"type": "message_start", "message": self.message()})

    def message_delta(self, plan: Plan) -> bytes:
        """The last event but one: why the reply ended, and the final usage."""
        delta = {
            "stop_reason": plan.stop_reason,
            "stop_sequence": plan.stop_sequence,
            "stop_details": plan.stop_details,
        }
        return _frame({"type": "message_delta", "delta": delta, "usage": self._usage(plan)})

    def error(self, error: ApiError) -> bytes:
        """An ``error`` event."""
        return _frame(error.body(self.request_id))

    def _usage(self, plan: Plan | None) -> dict[str, Any]:
        prompt = self.usage
        lifetimes = {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}
        lifetimes[f"ephemeral_{prompt.ttl}_input_tokens"] = prompt.created
        usage = {
            "input_tokens": prompt.fresh,
            "cache_creation_input_tokens": prompt.created,
            "cache_read_input_tokens": prompt.read,
            "cache_creation": lifetimes,
            "output_tokens": plan.output_tokens if plan else 1,
            "service_tier": "standard",
        }
        if plan and plan.thinking_tokens:
            usage["output_tokens_details"] = {"thinking_tokens": plan.thinking_tokens}
        return usage


def block_start(index: int, content: Content) -> bytes:
    """The start of block number ``index``, still empty."""
    block = {"type": content.kind, **dict(content.head), **_EMPTY[content.kind]}
    return _frame({"type": "content_block_start", "index": index, "content_block": block})


def delta_around(index: int, kind: Kind) -> tuple[bytes, bytes]:
    """The bytes before and after the JSON string of a delta: only that string differs."""
    delta, field = _DELTA_FIELD[kind]
    blank = _frame(
        {
            "type": "content_block_delta",
            "index": index,
            "delta": {"type": delta, field: "\0"},
        }
    )
    before, after = blank.split(b'"\\u0000"')
    return before, after


def block_stop(index: int, kind: Kind) -> bytes:
    """The end of a block; a thinking block is signed first."""
    stop = _frame({"type": "content_block_stop", "index": index})
    if kind != "thinking":
        return stop
    delta = {"type": "signature_delta", "signature": SIGNATURE}
    return _frame({"type": "content_block_delta", "index": index, "delta": delta}) + stop


def _whole(content: Content) -> dict[str, Any]:
    whole = "".join(content.pieces)
    block: dict[str, Any] = {"type": content.kind, **dict(content.head)}
    match content.kind:
        case "text":
            block["text"] = whole
        case "thinking":
            block |= {"thinking": whole, "signature": SIGNATURE}
        case "tool_use":
            block["input"] = orjson.loads(whole)
    return block
