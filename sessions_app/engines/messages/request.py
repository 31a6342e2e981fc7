"""The body of a Messages API request, made from a `Turn`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sessions_app.engines.aliases import resolve
from sessions_app.engines.base import Block, Turn
from sessions_app.engines.events import THINKING

MAX_TOKENS = 32_000
"""Tokens a reply may have, thinking included: what every model since Claude 4 can do."""

MAX_TOKENS_BEFORE_4 = 8_192

_RESULT = "_result"


def body(turn: Turn) -> dict[str, Any]:
    """What `messages.create` is called with, streaming and with automatic prompt caching."""
    model = resolve(turn.model)
    parts = (turn.system_prompt.strip(), turn.append_system_prompt.strip())
    system = "\n\n".join(part for part in parts if part)
    request: dict[str, Any] = {
        "model": model,
        "max_tokens": MAX_TOKENS_BEFORE_4 if "claude-3" in model else MAX_TOKENS,
        "messages": [*acceptable(turn.history), {"role": "user", "content": list(turn.prompt)}],
        "cache_control": {"type": "ephemeral"},
        "stream": True,
    }
    return request | {"system": system} if system else request


def acceptable(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The history without what the API refuses; never mutated, never merged.

    Left out: empty texts; tool calls without a result and results without a call; messages with
    nothing left in them; and all earlier thinking. The API lets a client omit the thinking of
    earlier turns, and binds it to the model and to every word before it: kept, it would turn a
    change of the model or the system prompt into a 400. Marks for the cache go too: a request
    may have four, and each turn could have brought its own.
    """
    paired = _called(history) & _answered(history)
    kept = []
    for message in history:
        content = [
            {key: value for key, value in block.items() if key != "cache_control"}
            for block in _blocks(message)
            if _is_acceptable(block, paired)
        ]
        if content and message.get("role") in ("user", "assistant"):
            kept.append({"role": message["role"], "content": content})
    return kept


def _blocks(message: dict[str, Any]) -> Sequence[Block]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content if isinstance(content, list) else []


def _is_acceptable(block: Block, paired: set[str]) -> bool:
    kind = block.get("type", "")
    if kind == "text":
        return bool(block.get("text", "").strip())
    if kind in THINKING:
        return False
    if kind.endswith("tool_use"):
        return block.get("id") in paired
    if kind.endswith(_RESULT) and "tool_use_id" in block:
        return block["tool_use_id"] in paired
    return True


def _called(history: Iterable[dict[str, Any]]) -> set[str]:
    return {
        block["id"]
        for message in history
        for block in _blocks(message)
        if block.get("type", "").endswith("tool_use") and "id" in block
    }


def _answered(history: Sequence[dict[str, Any]]) -> set[str]:
    """Calls whose result stands where it must: in the same message or in the very next one."""
    answered: set[str] = set()
    for position, message in enumerate(history):
        open_calls = _called(history[max(position - 1, 0) : position + 1])
        answered |= {
            block["tool_use_id"]
            for block in _blocks(message)
            if block.get("type", "").endswith(_RESULT) and block.get("tool_use_id") in open_calls
        }
    return answered
