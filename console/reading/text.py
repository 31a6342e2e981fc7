"""Text of strangers, fit to be looked at. Pure.

Prompts, replies, tool inputs, titles and file names are written by whoever likes to deceive:
escaping keeps them from running, this keeps them from hiding or disguising something.
"""

from __future__ import annotations

import json
from typing import Any

SHOWN_CHARACTERS = 20_000
"""Of one input or output: the rest is in the events and the export."""

# What says in one line what a call is about, by the names that tools give it.
_HEADLINES = (
    "command", "file_path", "notebook_path", "path", "pattern", "url", "query", "description",
    "prompt", "plan",
)  # fmt: skip
# The override, embedding and isolate marks of bidirectional text: what reorders a line.
_REORDERING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
# What takes no room: a command that holds one is not the command that it seems to be.
_UNSEEN = (
    0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180E, 0x200B, 0x200C, 0x200D,
    0x200E, 0x200F, *range(0x2060, 0x2066), *range(0x206A, 0x2070), 0x3164, 0xFEFF, 0xFFA0,
    *range(0xFFF9, 0xFFFC), *range(0xFE00, 0xFE10),
)  # fmt: skip
# Languages and emoji need these: they are shown as they are in prose, and marked in code.
_NEEDED_IN_PROSE = frozenset({0x200C, 0x200D, 0x200E, 0x200F, *range(0xFE00, 0xFE10)})
_TAGS = range(0xE0000, 0xE0080)
_SURROGATES = range(0xD800, 0xE000)


def _mark(number: int) -> str:
    return f"⟨U+{number:04X}⟩"


_CONTROLS = {
    **{number: chr(0x2400 + number) for number in range(0x20) if number not in (0x09, 0x0A)},
    0x7F: "␡",
    **{number: _mark(number) for number in range(0x80, 0xA0)},
    **{number: _mark(number) for number in _REORDERING},
    **{number: _mark(number) for number in _TAGS},
    **dict.fromkeys(_SURROGATES, "\ufffd"),
    0x2028: "\n",
    0x2029: "\n",
}
_CODE = _CONTROLS | {number: _mark(number) for number in _UNSEEN}
_PROSE = {number: told for number, told in _CODE.items() if number not in _NEEDED_IN_PROSE}


def prose(text: object) -> str:
    """A text with its control characters shown instead of obeyed."""
    return str(text).replace("\r\n", "\n").translate(_PROSE)


def code(text: object) -> str:
    """A command, a path, an input: every character that cannot be seen is marked."""
    return str(text).replace("\r\n", "\n").translate(_CODE)


def line(text: object, limit: int = 200) -> str:
    """A text in one line, cut where it gets long."""
    told = " ".join(code(str(text)[: limit * 4]).split())
    return told if len(told) <= limit else told[: limit - 1] + "…"


def pretty(value: Any) -> str:
    """A JSON value as a person reads it."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def bounded(text: str, limit: int) -> tuple[str, int]:
    """The beginning of a text, and how many characters of it were left out."""
    return text[:limit], max(0, len(text) - limit)


def headline(given: Any) -> str:
    """What a tool call is about, in one line."""
    if not isinstance(given, dict):
        return ""
    for name in _HEADLINES:
        if isinstance(given.get(name), str) and given[name]:
            return line(given[name], 160)
    return ""
