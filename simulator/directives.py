"""The directive language: ``[[sim NAME value key=value key="quoted value"]]``.

A pure parser; what the directives do is in ``script.py``. The grammar::

    directive = "[[sim" NAME argument* "]]"
    argument  = [KEY "="] value
    value     = bare | "…" | '…'

A bare value ends at white space or at ``]]``. In double quotes the escapes ``\\"``, ``\\\\``,
``\\n`` and ``\\t`` are known; single quotes are raw, which suits JSON. A value without a key is
the one main value of its directive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAIN = "value"
"""The key of an argument that was given without one."""

_OPENING = re.compile(r"\[\[sim\s+")
_NAME = re.compile(r"[a-z][a-z_-]*")
_ARGUMENT = re.compile(
    r"""\s*(?:(?P<key>[A-Za-z_][\w.-]*)=)?
        (?: "(?P<double>(?:[^"\\]|\\.)*)"
          | '(?P<single>[^']*)'
          | (?P<bare>(?:(?!\]\])[^\s"'])+) )""",
    re.VERBOSE | re.DOTALL,
)
_CLOSING = re.compile(r"\s*\]\]")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t"}

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(B|KB|MB|KiB|MiB)?")
_BYTES = {"B": 1, "KB": 1000, "MB": 1_000_000, "KiB": 1024, "MiB": 1 << 20}


class DirectiveError(ValueError):
    """A directive that cannot be obeyed; the simulator answers 400 with this text."""


@dataclass(frozen=True, slots=True)
class Directive:
    """One parsed directive.

    ``arguments`` keeps order and repetitions, because ``tools`` names a tool as often as it calls
    it; the readers take the first of a name.
    """

    name: str
    arguments: tuple[tuple[str, str], ...]
    source: str

    def text(self, key: str, default: str = "") -> str:
        """The argument as it was written, without its quotes."""
        return next((value for name, value in self.arguments if name == key), default)

    def has(self, key: str) -> bool:
        """Whether the argument was given at all."""
        return any(name == key for name, _ in self.arguments)

    def count(self, key: str, default: int, *, at_most: int = 1_000_000) -> int:
        """A whole number from 0 to ``at_most``."""
        raw = self.text(key, str(default))
        if not raw.isdecimal() or int(raw) > at_most:
            raise self._refused(key, raw, f"a whole number from 0 to {at_most}")
        return int(raw)

    def seconds(self, key: str, default: float) -> float:
        """A duration such as ``20ms``, ``1.5s``, ``2m``, or ``0``; returned in seconds."""
        if not self.has(key):
            return default
        raw = self.text(key)
        match = _DURATION.fullmatch(raw)
        if match is None or (match[2] is None and float(match[1]) != 0):
            raise self._refused(key, raw, "a duration such as 20ms, 1.5s or 2m")
        return float(match[1]) * _SECONDS.get(match[2], 1.0)

    def size(self, key: str, default: int, *, at_most: int = 1 << 30) -> int:
        """A size such as ``2MB`` or ``64KiB``; returned in bytes."""
        if not self.has(key):
            return default
        raw = self.text(key)
        match = _SIZE.fullmatch(raw)
        total = int(float(match[1]) * _BYTES[match[2] or "B"]) if match else -1
        if not 0 <= total <= at_most:
            raise self._refused(key, raw, "a size such as 2MB or 64KiB, at most 1 GiB")
        return total

    def flag(self, key: str, *, default: bool) -> bool:
        """``true`` or ``false``."""
        raw = self.text(key, "true" if default else "false")
        if raw not in ("true", "false"):
            raise self._refused(key, raw, "true or false")
        return raw == "true"

    def _refused(self, key: str, raw: str, wanted: str) -> DirectiveError:
        return DirectiveError(f"{self.source}: {key}={raw!r} is not {wanted}")


def parse(text: str) -> tuple[Directive, ...]:
    """Every directive in ``text``, in order; other text is ignored."""
    found = []
    opening = _OPENING.search(text)
    while opening is not None:
        directive, end = _parse_one(text, opening)
        found.append(directive)
        opening = _OPENING.search(text, end)
    return tuple(found)


def _parse_one(text: str, opening: re.Match[str]) -> tuple[Directive, int]:
    name = _NAME.match(text, opening.end())
    if name is None:
        raise DirectiveError(f"{_excerpt(text, opening)}: a directive needs a name")
    arguments: list[tuple[str, str]] = []
    position = name.end()
    while (closing := _CLOSING.match(text, position)) is None:
        argument = _ARGUMENT.match(text, position)
        if argument is None:
            raise DirectiveError(f"{_excerpt(text, opening)}: not closed, or a stray quote")
        arguments.append((argument["key"] or MAIN, _value(argument)))
        position = argument.end()
    source = text[opening.start() : closing.end()]
    return Directive(name[0], tuple(arguments), source), closing.end()


def _value(argument: re.Match[str]) -> str:
    if argument["double"] is not None:
        return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), argument["double"])
    if argument["single"] is not None:
        return argument["single"]
    return argument["bare"]


def _excerpt(text: str, opening: re.Match[str]) -> str:
    return text[opening.start() : opening.start() + 60]
