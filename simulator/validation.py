"""The checks of the real API that a client can fall over, with its status codes and wording."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from types import UnionType
from typing import Any

import orjson

from simulator.catalog import check_model
from simulator.conversation import Block, Message, Request, user_words
from simulator.errors import ApiError, invalid
from simulator.wire import presented_key

_SHAPES: tuple[tuple[str, type | UnionType, str], ...] = (
    ("system", str | list, "string or list"),
    ("tools", list, "list"),
    ("stop_sequences", list, "list"),
    ("tool_choice", dict, "dictionary"),
    ("metadata", dict, "dictionary"),
    ("output_config", dict, "dictionary"),
    ("cache_control", dict, "dictionary"),
)
"""The JSON types of the optional fields that are looked into; null is as good as absent."""


def check_access(headers: dict[str, str]) -> str:
    """Check the key and the version header; returns the key.

    Any key is good but an invalid one: the word ``invalid``, or one that begins ``sk-invalid``.
    """
    _, key = presented_key(headers)
    if not key:
        raise ApiError(401, "x-api-key header is required")
    if key == "invalid" or key.startswith("sk-invalid"):
        raise ApiError(401, "invalid x-api-key")
    if "anthropic-version" not in headers:
        raise invalid("anthropic-version: header is required")
    return key


def read_object(raw: bytes) -> dict[str, Any]:
    """The JSON object of a request body."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid(f"The request body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise invalid("Input should be a valid dictionary")
    return body


def read_request(body: dict[str, Any], *, counting: bool = False) -> Request:
    """Check a body of ``/v1/messages``; ``counting`` is for ``count_tokens``, without a bound."""
    required = ("model", "messages") if counting else ("model", "max_tokens", "messages")
    for field in required:
        if field not in body:
            raise invalid(f"{field}: Field required")
    if not isinstance(body["model"], str) or not body["model"]:
        raise invalid("model: Input should be a valid string")
    check_model(body["model"])
    max_tokens = body.get("max_tokens", 1)
    if type(max_tokens) is not int or max_tokens < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    if not isinstance(body.get("stream", False), bool):
        raise invalid("stream: Input should be a valid boolean")
    _check_shapes(body)
    messages = _messages(body["messages"])
    _check_tool_results(messages)
    return Request(
        model=body["model"],
        max_tokens=max_tokens,
        stream=body.get("stream", False),
        messages=messages,
        tools=tuple(body.get("tools") or ()),
        tool_choice=body.get("tool_choice"),
        schema=_schema(body),
        stop_sequences=tuple(body.get("stop_sequences") or ()),
        user_id=str((body.get("metadata") or {}).get("user_id", "")),
    )


def _check_shapes(body: dict[str, Any]) -> None:
    for field, shape, wanted in _SHAPES:
        if not isinstance(body.get(field), shape | None):
            raise invalid(f"{field}: Input should be a valid {wanted}")
    for field, item in (("tools", dict), ("stop_sequences", str)):
        if not all(isinstance(value, item) for value in body.get(field) or ()):
            raise invalid(f"{field}: Input should be a list of valid {item.__name__}")
    if not all(stop.strip() for stop in body.get("stop_sequences") or ()):
        raise invalid("stop_sequences: each stop sequence must contain non-whitespace")
    for index, tool in enumerate(body.get("tools") or ()):
        _check_tool(tool, f"tools.{index}")


def _check_tool(tool: Block, where: str) -> None:
    """A client's own tool; those of the API itself are its business."""
    if tool.get("type", "custom") != "custom":
        return
    if not isinstance(tool.get("name"), str) or not tool["name"]:
        raise invalid(f"{where}.custom.name: Field required")
    schema = tool.get("input_schema", {})
    if not isinstance(schema, dict):
        raise invalid(f"{where}.custom.input_schema: Input should be a valid dictionary")
    if schema.get("type", "object") != "object":
        raise invalid(f"{where}.custom.input_schema.type: Input should be 'object'")


def _schema(body: dict[str, Any]) -> Block | None:
    output = (body.get("output_config") or {}).get("format") or body.get("output_format")
    if not output:
        return None
    schema = output.get("schema") if isinstance(output, dict) else None
    if not isinstance(schema, dict):
        raise invalid("output_config.format.schema: Input should be a valid dictionary")
    return schema


def _messages(raw: Any) -> tuple[Message, ...]:
    if not isinstance(raw, list):
        raise invalid("messages: Input should be a valid list")
    if not raw:
        raise invalid("messages: at least one message is required")
    messages = tuple(
        _message(item, f"messages.{index}", is_last=index == len(raw) - 1)
        for index, item in enumerate(raw)
    )
    if messages[0].role != "user":
        raise invalid('messages: first message must use the "user" role')
    return messages


def _message(raw: Any, where: str, *, is_last: bool) -> Message:
    if not isinstance(raw, dict):
        raise invalid(f"{where}: Input should be a valid dictionary")
    role = raw.get("role")
    if role not in ("user", "assistant", "system"):
        raise invalid(f"{where}.role: Input should be 'user' or 'assistant'")
    content = raw.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        raise invalid(f"{where}.content: Input should be a valid list")
    # Claude Code sends system messages without content after it has made a conversation shorter.
    if not content and role != "system" and not (role == "assistant" and is_last):
        raise invalid(
            f"{where}: all messages must have non-empty content"
            " except for the optional final assistant message"
        )
    for index, block in enumerate(content):
        _check_block(block, f"{where}.content.{index}")
    return Message(role, tuple(content))


def _check_block(block: Any, where: str) -> None:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        raise invalid(f"{where}.type: Field required")
    match block["type"]:
        case "text":
            if not isinstance(block.get("text"), str):
                raise invalid(f"{where}.text.text: Field required")
            if not block["text"]:
                raise invalid("messages: text content blocks must be non-empty")
            if not block["text"].strip():
                raise invalid("messages: text content blocks must contain non-whitespace text")
        case "tool_use":
            for field in ("id", "name", "input"):
                if field not in block:
                    raise invalid(f"{where}.tool_use.{field}: Field required")
            if not isinstance(block["id"], str):
                raise invalid(f"{where}.tool_use.id: Input should be a valid string")
        case "tool_result":
            if not isinstance(block.get("tool_use_id"), str):
                raise invalid(f"{where}.tool_result.tool_use_id: Field required")
            _check_result(block.get("content"), f"{where}.tool_result.content")


def _check_result(content: Any, where: str) -> None:
    if isinstance(content, str | None):
        return
    if not isinstance(content, list):
        raise invalid(f"{where}: Input should be a valid string or list")
    for index, part in enumerate(content):
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise invalid(f"{where}.{index}.type: Field required")
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise invalid(f"{where}.{index}.text.text: Field required")


def _check_tool_results(messages: tuple[Message, ...]) -> None:
    """Every call has its result in the next turn, and every result its call in the one before."""
    open_calls: set[str] = set()
    for index, (role, blocks) in enumerate(_merged(messages)):
        if role == "assistant":
            open_calls = {block["id"] for block in blocks if block["type"] == "tool_use"}
            continue
        results = [block["tool_use_id"] for block in _leading(blocks)]
        if late := _results(blocks)[len(results) :]:
            raise invalid(
                f"messages.{index}: `tool_use` ids were found without `tool_result` blocks"
                f" immediately after: {late[0]['tool_use_id']}. Text belongs after the results."
            )
        if unexpected := [result for result in results if result not in open_calls]:
            raise invalid(
                f"messages.{index}.content: unexpected `tool_use_id` found in `tool_result` blocks:"
                f" {unexpected[0]}. Each `tool_result` block must have a corresponding `tool_use`"
                " block in the previous message."
            )
        if missing := sorted(open_calls.difference(results)):
            raise invalid(
                f"messages.{index}: `tool_use` ids were found without `tool_result` blocks"
                f" immediately after: {', '.join(missing)}. Each `tool_use` block must have a"
                " corresponding `tool_result` block in the next message."
            )
        open_calls = set()


def _results(blocks: Iterable[Block]) -> list[Block]:
    return [block for block in blocks if block["type"] == "tool_result"]


def _leading(blocks: Iterable[Block]) -> list[Block]:
    """The results before the user's own words; Claude Code's notes may stand among them."""
    return _results(takewhile(lambda block: not user_words(block), blocks))


def _merged(messages: tuple[Message, ...]) -> list[tuple[str, list[Block]]]:
    """The turns: consecutive messages of one role count as one, system messages as none."""
    turns: list[tuple[str, list[Block]]] = []
    for message in messages:
        if message.role == "system":
            continue
        if turns and turns[-1][0] == message.role:
            turns[-1][1].extend(message.blocks)
        else:
            turns.append((message.role, list(message.blocks)))
    return turns
