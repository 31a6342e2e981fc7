"""The content blocks of messages: tool calls, their results, and what they gave back. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from console.reading.text import line, pretty
from sessions_app.models import Message

CALLS = frozenset({"tool_use", "server_tool_use", "mcp_tool_use"})


def blocks_of(content: Any) -> list[dict[str, Any]]:
    """The content blocks of a Claude message, whatever shape it came in."""
    message = content.get("message") if isinstance(content, dict) else None
    given = message.get("content") if isinstance(message, dict) else None
    if isinstance(given, str):
        return [{"type": "text", "text": given}]
    if not isinstance(given, list):
        return []
    return [block for block in given if isinstance(block, dict)]


def results_of(messages: Iterable[Message]) -> dict[str, dict[str, Any]]:
    """The results of tool calls in these messages, by the calls' ids."""
    return {
        str(block.get("tool_use_id")): block
        for message in messages
        if message.type == "user"
        for block in blocks_of(message.content)
        if block.get("type") == "tool_result"
    }


def calls_of(messages: Iterable[Message]) -> dict[str, UUID | None]:
    """The ids of the tool calls in these messages, and the runs that made them."""
    return {
        str(block.get("id")): message.run_id
        for message in messages
        if message.type == "assistant"
        for block in blocks_of(message.content)
        if block.get("type") in CALLS
    }


def unanswered(messages: Sequence[Message]) -> dict[str, UUID | None]:
    """Of these calls those that have no result in the same messages."""
    answered = results_of(messages)
    return {call: run for call, run in calls_of(messages).items() if call not in answered}


def source_of(source: Any) -> str:
    """What a picture or document is, in words."""
    if not isinstance(source, dict):
        return "unknown"
    if source.get("type") == "url":
        return line(source.get("url", ""))
    size = len(str(source.get("data", ""))) * 3 // 4
    return f"{line(source.get('media_type', 'unknown'), 60)}, {size:,} bytes"


def output_of(result: dict[str, Any]) -> str:
    """What a tool gave back, as text."""
    content = result.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return "" if content is None else pretty(content)
    return "\n".join(_output_part(part) for part in content)


def _output_part(part: Any) -> str:
    if isinstance(part, dict) and part.get("type") == "text":
        return str(part.get("text", ""))
    if isinstance(part, dict) and part.get("type") == "image":
        return f"[image: {source_of(part.get('source'))}]"
    return pretty(part)
