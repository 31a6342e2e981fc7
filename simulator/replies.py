"""What the simulator says when no directive tells it to say something else."""

from __future__ import annotations

from typing import Any

import orjson

from simulator import contents
from simulator.conversation import Block, Request, Turn, result_text
from simulator.plan import Content
from simulator.schema_instance import instance

_QUOTED = 200
"""Characters of someone's words that are repeated."""

_STRUCTURED_OUTPUT = "StructuredOutput"
"""The tool by which Claude Code takes structured output."""


def default_reply(request: Request, turn: Turn) -> Content:
    """A short reply that proves that the whole conversation arrived."""
    if tool := _demanded_tool(request, turn):
        value = instance(tool.get("input_schema"))
        whole = value if isinstance(value, dict) else {}
        return contents.tool_use(tool["name"], orjson.dumps(whole).decode())
    if request.schema is not None:
        words = "Simulated session" if is_title_call(request) else "simulated"
        return contents.json_text(instance(request.schema, words=words))
    if turn.tool_results:
        return contents.text(_results(turn.tool_results))
    said = f'You said: "{_quote(turn.prompt)}".' if turn.prompt else "You sent no text."
    if turn.earlier:
        memory = (
            f"This conversation has {turn.earlier} earlier messages;"
            f' the first was: "{_quote(turn.first)}".'
        )
    else:
        memory = "This is the first message of the conversation."
    return contents.text(f"This is the claudeapi simulator ({request.model}). {said} {memory}")


def is_title_call(request: Request) -> bool:
    """Whether Claude Code asks for a session's title.

    That call repeats the user's words, so a directive in them is not meant for it.
    """
    properties: dict[str, Any] = (request.schema or {}).get("properties", {})
    return not request.tools and list(properties) == ["title"]


def _demanded_tool(request: Request, turn: Turn) -> Block | None:
    """The tool that a real model would have to call now."""
    choice = request.tool_choice or {}
    if choice.get("type") == "tool":
        return request.tool(choice.get("name", ""))
    if choice.get("type") == "any":
        return next((tool for tool in request.tools if tool.get("name")), None)
    if choice.get("type") == "none":
        return None
    return None if turn.tool_results else request.tool(_STRUCTURED_OUTPUT)


def _results(results: tuple[Block, ...]) -> str:
    sentences = []
    for result in results:
        verb = "failed" if result.get("is_error") else "returned"
        sentences.append(f'The tool {verb}: "{_quote(result_text(result))}".')
    return " ".join(sentences)


def _quote(words: str) -> str:
    return words if len(words) <= _QUOTED else words[: _QUOTED - 1] + "…"
