"""Believable token counts. Estimates: the real tokenizer is not public."""

from __future__ import annotations

from typing import Any

import orjson

CHARACTERS_PER_TOKEN = 4
"""The rule of thumb for English text."""

IMAGE_TOKENS = 1600
"""What the API documents as the most an image costs before it is scaled down."""

MESSAGE_OVERHEAD_TOKENS = 3
"""Role markers around each message."""

REPLY_OVERHEAD_TOKENS = 3
"""The marker that the reply begins with. No cached prefix reaches so far, so that even a prompt
that is cached to its end has a few fresh tokens, as in the real API."""


def text_tokens(text: str) -> int:
    """The estimated tokens of ``text``; never 0, as in the real API."""
    return max(1, -(-len(text) // CHARACTERS_PER_TOKEN))


def block_tokens(block: Any) -> int:
    """The estimated input tokens of one content block, tool or system block (a JSON value)."""
    if not isinstance(block, dict):
        return text_tokens(str(block))
    match block.get("type"):
        case "text":
            return text_tokens(str(block.get("text")))
        case "image":
            return IMAGE_TOKENS
        case "tool_result" if isinstance(block.get("content"), list):
            return sum(map(block_tokens, block["content"]), MESSAGE_OVERHEAD_TOKENS)
        case _:
            return max(1, len(orjson.dumps(block)) // CHARACTERS_PER_TOKEN)
