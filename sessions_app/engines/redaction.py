"""The operator's key is told to nobody: some gateways quote it in their errors, whole or begun."""

from __future__ import annotations

from itertools import takewhile

SHORTEST_SECRET = 12
"""Characters: shorter keys are placeholders, and words of ordinary sentences."""

_SHORTEST_PART = 8


def without_key(text: str, key: str) -> str:
    """The text, with `[key]` for the key and for every beginning of it of eight or more."""
    if len(key) < SHORTEST_SECRET:
        return text
    before, *quoted = text.split(key[:_SHORTEST_PART])
    rest = key[_SHORTEST_PART:]
    return "[key]".join([before, *(_without_beginning(part, rest) for part in quoted)])


def _without_beginning(text: str, rest: str) -> str:
    """The text without what it begins with of the rest of a key."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(text, rest, strict=False))
    return text[sum(1 for _ in same) :]


def bytes_without_key(data: bytes, key: str) -> bytes:
    """The same for bytes, of any encoding."""
    return without_key(data.decode("latin-1"), key).encode("latin-1")
