"""Prompt caching as it shows in ``usage``: prefixes marked with ``cache_control`` are remembered.

Only digests are kept. Unlike the real API there is no least length of a prefix, so that short
tests see the cache too.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from simulator.errors import invalid
from simulator.tokens import MESSAGE_OVERHEAD_TOKENS, REPLY_OVERHEAD_TOKENS, block_tokens

_REMEMBERED = 4096
"""Prefixes that are kept; the least recently used goes first."""

_LOOKBACK = 20
"""Blocks before a marked one that the real API tries, too."""

_LIFETIME = {"5m": 300.0, "1h": 3600.0}
"""Seconds a prefix lives after its last use."""


@dataclass(frozen=True, slots=True)
class InputUsage:
    """The input side of ``usage``, in tokens; the three add up to the whole prompt."""

    fresh: int
    created: int
    read: int
    ttl: str = "5m"

    @property
    def total(self) -> int:
        """All input tokens."""
        return self.fresh + self.created + self.read


@dataclass(frozen=True, slots=True)
class _Piece:
    """One block of the prompt, in the order tools, system, messages."""

    block: Any
    tokens: int
    ttl: str


class PromptCache:
    """Remembers marked prefixes, in bounded memory."""

    def __init__(self) -> None:
        self._expiry: OrderedDict[bytes, float] = OrderedDict()

    def use(self, body: dict[str, Any], owner: str, now: float) -> InputUsage:
        """Count the prompt of ``body`` and look it up, at ``now`` (seconds, monotonic).

        ``owner`` separates callers, as the real cache separates organizations.
        """
        pieces = _marked(body, list(_pieces(body)))
        total = sum(piece.tokens for piece in pieces) + REPLY_OVERHEAD_TOKENS
        marks = [index for index, piece in enumerate(pieces) if piece.ttl]
        if not marks:
            return InputUsage(fresh=total, created=0, read=0)
        digests = _digests(pieces[: marks[-1] + 1], f"{owner}\0{body.get('model')}")
        candidates = {
            index
            for mark in marks
            for index in range(mark, max(-1, mark - _LOOKBACK - 1), -1)
            if self._expiry.get(digests[index], 0.0) > now
        }
        hit = max(candidates, default=-1)
        for mark in marks:
            self._expiry[digests[mark]] = now + _LIFETIME[pieces[mark].ttl]
            self._expiry.move_to_end(digests[mark])
        while len(self._expiry) > _REMEMBERED:
            self._expiry.popitem(last=False)
        read = sum(piece.tokens for piece in pieces[: hit + 1])
        marked = sum(piece.tokens for piece in pieces[: marks[-1] + 1])
        return InputUsage(total - marked, marked - read, read, pieces[marks[-1]].ttl)


def input_tokens(body: dict[str, Any]) -> int:
    """The estimated tokens of a prompt, without the cache."""
    return sum(piece.tokens for piece in _pieces(body)) + REPLY_OVERHEAD_TOKENS


def _pieces(body: dict[str, Any]) -> Iterator[_Piece]:
    for block in body.get("tools") or ():
        yield _Piece(block, block_tokens(block), _ttl(block))
    system = body.get("system") or ()
    for block in [{"type": "text", "text": system}] if isinstance(system, str) else system:
        yield _Piece(block, block_tokens(block), _ttl(block))
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for index, block in enumerate(blocks):
            overhead = 0 if index else MESSAGE_OVERHEAD_TOKENS
            # The role is part of the prefix: the same text from someone else is another prompt.
            piece = {"role": message["role"], "block": block}
            yield _Piece(piece, overhead + block_tokens(block), _ttl(block))


def _marked(body: dict[str, Any], pieces: list[_Piece]) -> list[_Piece]:
    """A top-level ``cache_control`` marks the last block."""
    if ttl := _ttl(body):
        pieces[-1] = _Piece(pieces[-1].block, pieces[-1].tokens, ttl)
    return pieces


def _ttl(block: Any) -> str:
    control = block.get("cache_control") if isinstance(block, dict) else None
    if not control:
        return ""
    ttl = control.get("ttl", "5m") if isinstance(control, dict) else None
    if not isinstance(ttl, str) or ttl not in _LIFETIME:
        raise invalid("cache_control: Input should be ephemeral, with a ttl of '5m' or '1h'")
    return ttl


def _digests(pieces: list[_Piece], scope: str) -> list[bytes]:
    """The digest of every prefix. The marks themselves don't count: they move on."""
    running = hashlib.blake2b(scope.encode(), digest_size=16)
    digests = []
    for piece in pieces:
        running.update(orjson.dumps(_unmarked(piece.block), option=orjson.OPT_SORT_KEYS))
        digests.append(running.digest())
    return digests


def _unmarked(block: Any) -> Any:
    if not isinstance(block, dict):
        return block
    bare = {key: value for key, value in block.items() if key != "cache_control"}
    return {**bare, "block": _unmarked(block["block"])} if "block" in block else bare
