"""Request bodies: JSON as strict as everything behind them needs it to be."""

from __future__ import annotations

import json
from typing import Any, NoReturn, TypeAlias

import orjson

from claudeapi.core.errors import InvalidJson, InvalidRequest

MAX_DEPTH = 100
MAX_VALUES = 100_000
MOST_OF_A_NAME = 200
_NUL = "\x00"
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_Place: TypeAlias = "tuple[_Place | None, str | int]"


def parse_json(body: bytes) -> dict[str, Any]:
    """The object a body holds; an empty body is an empty object.

    Raises:
        InvalidJson: not JSON, not UTF-8, NaN or an infinity, nested deeper than 100, or of more
            than 100,000 values.
        InvalidRequest: not an object, or a text that no database keeps (a NUL character or a
            lone surrogate), by the path of the field.
    """
    if not body.strip():
        return {}
    _check_shape(body)
    value = _parsed(body)
    # Walking every body would cost more than parsing it: most can hold none.
    if b"\\u0000" in body and b"\\u0000" in body.replace(b"\\\\", b""):
        _check_texts(value)
    if not isinstance(value, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return value


def _check_shape(body: bytes) -> None:
    """Refuse what is too deep or has too many values, before each of them becomes an object."""
    opened = body.count(b"{") + body.count(b"[")
    if opened <= MAX_DEPTH and opened + body.count(b",") <= MAX_VALUES:
        return
    structure = _without_texts(body)
    if sum(map(structure.count, (b"{", b"[", b","))) > MAX_VALUES:
        raise InvalidJson(f"The body has more than {MAX_VALUES:,} values.")
    depth = 0
    for bracket in structure.translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise InvalidJson(f"The body is nested deeper than {MAX_DEPTH} levels.")
        if depth < 0:
            return  # not JSON, as parsing it will tell


def _without_texts(body: bytes) -> bytes:
    """What is left of JSON without its texts, in a few passes that make no object a value."""
    # From the left, each pair of backslashes is one that is escaped.
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 4 * MAX_VALUES:  # a name and a text each, two quotes around both
        raise InvalidJson(f"The body has more than {MAX_VALUES:,} values.")
    return b"".join(plain.split(b'"')[::2])


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
    _check_texts(value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _check_texts(root: Any) -> None:
    """Refuse texts that cannot be kept, member names too; without recursion."""
    # A place is a chain of names, joined only to be told: each may be megabytes.
    stack: list[tuple[_Place | None, Any]] = [(None, root)]
    while stack:
        place, value = stack.pop()
        if isinstance(value, str):
            _check_text(value, place)
        elif isinstance(value, dict):
            for name, child in value.items():
                _check_text(name, (place, name))
                stack.append(((place, name), child))
        elif isinstance(value, list):
            stack += [((place, at), child) for at, child in enumerate(value)]


def _check_text(text: str, place: _Place | None) -> None:
    if _NUL in text:
        raise InvalidRequest.field(_told(place), "NUL characters are not allowed.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest.field(_told(place), "Lone surrogates are not allowed.") from None


def _told(place: _Place | None) -> str:
    """The path of a place, by dots; of long names the beginnings."""
    names: list[str] = []
    while place is not None:
        place, name = place
        part = str(name)[:MOST_OF_A_NAME]
        names.append(part.encode("ascii", "backslashreplace").decode().replace(_NUL, ""))
    return ".".join(reversed(names)) or "body"
