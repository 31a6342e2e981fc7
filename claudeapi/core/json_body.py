"""Request bodies: JSON as strict as everything behind them needs it to be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

import orjson

from claudeapi.core.errors import InvalidJson, InvalidRequest

MAX_DEPTH = 100
_NUL = "\x00"


def parse_json(body: bytes) -> dict[str, Any]:
    """The object a body holds; an empty body is an empty object.

    Raises:
        InvalidJson: not JSON, not UTF-8, NaN or an infinity, or nested deeper than 100.
        InvalidRequest: not an object, or a text that no database keeps (a NUL character or a
            lone surrogate), by the path of the field.
    """
    if not body.strip():
        return {}
    value = _parsed(body)
    # Walking every body would cost more than parsing it: most can hold neither.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH or b"\\u0000" in body:
        _examine(value)
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return value


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"\\ud" in body.lower():
            _find_lone_surrogate(body)
        raise InvalidJson(f"The body is not valid JSON: {error}.") from None


def _find_lone_surrogate(body: bytes) -> None:
    """Tell a lone surrogate, which the standard library lets pass, from other bad JSON."""
    try:
        value = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return
    _examine(value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _examine(value: Any) -> None:
    """Refuse what is too deep, and texts that cannot be kept."""
    for path, depth, text in _walk(value):
        if depth > MAX_DEPTH:
            raise InvalidJson(f"The body is nested deeper than {MAX_DEPTH} levels.")
        if _NUL in text:
            raise InvalidRequest.field(path, "NUL characters are not allowed.")
        if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
            raise InvalidRequest.field(path, "Lone surrogates are not allowed.")


def _walk(root: Any) -> Iterator[tuple[str, int, str]]:
    """Every text, member names too, as (path, depth, text); without recursion."""
    stack: list[tuple[str, int, Any]] = [("", 0, root)]
    while stack:
        path, depth, value = stack.pop()
        prefix = f"{path}." if path else ""
        if isinstance(value, str):
            yield path or "body", depth, value
        elif isinstance(value, dict):
            yield path, depth + 1, ""
            for name, child in value.items():
                printable = name.encode("ascii", "backslashreplace").decode().replace(_NUL, "")
                yield f"{prefix}{printable}", depth + 1, name
                stack.append((f"{prefix}{printable}", depth + 1, child))
        elif isinstance(value, list):
            yield path, depth + 1, ""
            stack += [(f"{prefix}{at}", depth + 1, child) for at, child in enumerate(value)]
