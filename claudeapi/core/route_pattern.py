"""Patterns of routes, as in the option `auth.requireAuth`. Pure.

A pattern is `METHOD /path`, relative to `/api/v1`: `POST /sessions/:id/messages`. `:name`
stands for one segment, a last `*` for all that follows, `*` as the method (or none) for every
method.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

BASE = "/api/v1"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_PATTERN = re.compile(r"(?:(?P<method>[A-Za-z]+|\*)\s+)?(?P<path>/\S*)")
_SEGMENT = re.compile(r":?[A-Za-z0-9_~.-]+")


@dataclass(frozen=True)
class RoutePattern:
    """A route, or several; `method` is None for every method."""

    method: str | None
    segments: tuple[str, ...]
    open_ended: bool

    def matches(self, method: str, segments: tuple[str, ...]) -> bool:
        """Whether this pattern covers a request. HEAD counts as GET, the unknown as any."""
        method = "GET" if method == "HEAD" else method
        known = method in METHODS and method != "OPTIONS"
        if self.method is not None and known and self.method != method:
            return False
        return self._covers(segments)

    def _covers(self, segments: tuple[str, ...]) -> bool:
        length = len(self.segments)
        if len(segments) < length or (len(segments) > length and not self.open_ended):
            return False
        return all(
            mine.startswith(":") or mine == theirs
            for mine, theirs in zip(self.segments, segments, strict=False)
        )


@lru_cache(maxsize=1024)
def parse_pattern(text: str) -> RoutePattern:
    """Read one pattern.

    Raises:
        ValueError: it is no pattern, with what is allowed.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r}: write METHOD /path, such as POST /sessions/:id/messages")
    method = (match["method"] or "*").upper()
    if method != "*" and method not in METHODS:
        raise ValueError(f"{text!r}: {method} is not a method; known: {', '.join(sorted(METHODS))}")
    parts = segments_of(match["path"])
    open_ended = bool(parts) and parts[-1] == "*"
    parts = parts[:-1] if open_ended else parts
    for part in parts:
        if _SEGMENT.fullmatch(part) is None:
            raise ValueError(f"{text!r}: {part!r} is not a name or :parameter")
    canonical = "GET" if method == "HEAD" else method
    return RoutePattern(None if canonical == "*" else canonical, parts, open_ended)


def segments_of(path: str) -> tuple[str, ...]:
    """The segments of a path in lower case, from `/api/v1` on where it begins with that."""
    folded = path.casefold()
    below = folded.removeprefix(BASE) if f"{folded}/".startswith(f"{BASE}/") else folded
    return tuple(below.strip("/").split("/")) if below.strip("/") else ()
