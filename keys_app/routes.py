"""Which routes need a key, by the `requireAuth` patterns, in a form that cannot be escaped.

When there is any doubt about a path, it needs a key. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from claudeapi.core.route_pattern import BASE, parse_pattern, segments_of

# A path without escapes, parameters, doubled slashes or anything but these characters.
_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~.-]+)*/?")
_DOTS = re.compile(r"\.+")


def needs_key(patterns: Iterable[str] | None, method: str, path: str) -> bool:
    """Whether a request needs a key; None stands for every route.

    Args:
        patterns: the `requireAuth` option.
        method: of the request, in any case.
        path: of the request, decoded or not, from the root of this server.
    """
    if patterns is None:
        return True
    rules = [parse_pattern(pattern) for pattern in patterns]
    if not rules:
        return False
    segments = _segments(path)
    if segments is None:
        return True
    return any(rule.matches(method.upper(), segments) for rule in rules)


def _segments(path: str) -> tuple[str, ...] | None:
    """The segments below `/api/v1`, in lower case; None for a path that is not plain."""
    if not path.casefold().startswith(f"{BASE}/") or _PLAIN.fullmatch(path) is None:
        return None
    parts = segments_of(path)
    return None if any(_DOTS.fullmatch(part) for part in parts) else parts
