"""Makers of content blocks, each cut into the deltas it will be streamed in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson

from simulator.directives import DirectiveError
from simulator.identifiers import new_id
from simulator.plan import Content

_WORD = re.compile(r"\S+\s*|\s+")
_JSON_PIECE = 16
"""Characters of tool input in a delta."""

_MOST_DELTAS = 1 << 20
"""Of one block: the list of them is made before the first is sent."""


def text(words: str, *, delay: float = 0.0) -> Content:
    """A text block, one delta a word."""
    return Content("text", _WORD.findall(words), delay)


def thinking(words: str, *, delay: float = 0.0) -> Content:
    """A thinking block, one delta a word; its signature follows by itself."""
    return Content("thinking", _WORD.findall(words), delay)


def counted(n: int, *, delay: float = 0.0) -> Content:
    """A text of ``n`` deltas ``tok0 tok1 …``, so that a missing or doubled one is seen."""
    return Content("text", [f"tok{number} " for number in range(n)], delay, shaped=True)


def filler(size: int, chunk: int) -> Content:
    """A text of exactly ``size`` bytes in deltas of ``chunk`` bytes."""
    if size > chunk * _MOST_DELTAS:
        raise DirectiveError(f"big: more than {_MOST_DELTAS} deltas; give a larger chunk=")
    line = "The quick brown fox jumps over the lazy dog. "
    piece = (line * (chunk // len(line) + 1))[:chunk]
    whole, rest = divmod(size, chunk)
    return Content("text", [piece] * whole + ([piece[:rest]] if rest else []), shaped=True)


def json_text(value: Any) -> Content:
    """A text block that is the JSON of ``value``."""
    return Content("text", _slices(orjson.dumps(value).decode()))


def tool_use(name: str, tool_input: str) -> Content:
    """A tool call with a new id; ``tool_input`` is the JSON text of an object."""
    try:
        readable = isinstance(orjson.loads(tool_input), dict)
    except orjson.JSONDecodeError:
        readable = False
    if not readable:
        raise DirectiveError(f"tool {name}: input must be a JSON object, not {tool_input!r}")
    head = (("id", new_id("toolu")), ("name", name))
    return Content("tool_use", _slices(tool_input), head=head, shaped=True)


def shortened(contents: Iterable[Content], characters: int) -> tuple[Content, ...]:
    """The contents up to ``characters``; shaped ones stay whole."""
    kept = []
    for content in contents:
        if content.shaped:
            kept.append(content)
        elif characters > 0:
            pieces = []
            for piece in content.pieces:
                if characters <= 0:
                    break
                pieces.append(piece[:characters])
                characters -= len(piece)
            kept.append(Content(content.kind, pieces, content.delay, content.head))
    return tuple(kept)


def _slices(whole: str) -> list[str]:
    return [whole[start : start + _JSON_PIECE] for start in range(0, len(whole), _JSON_PIECE)]
