"""The routes of the API that there are, so that a pattern for none of them is noticed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from django.urls import URLResolver, get_resolver

from claudeapi.core import metrics
from claudeapi.core.route_pattern import BASE, METHODS, RoutePattern, segments_of

Route = tuple[str, tuple[str, ...]]
"""A method, and the segments below `/api/v1`; `{name}` stands for any."""


def exists(pattern: RoutePattern) -> bool:
    """Whether a pattern covers a route that there is."""
    return any(
        pattern.matches(method, _filled(segments, pattern)) for method, segments in _routes()
    )


def _filled(segments: tuple[str, ...], pattern: RoutePattern) -> tuple[str, ...]:
    """The route as a request that suits the pattern would have it."""
    own = (*pattern.segments, *segments[len(pattern.segments) :])
    return tuple(
        mine if theirs.startswith("{") else theirs
        for mine, theirs in zip(own, segments, strict=False)
    )


@lru_cache(maxsize=1)
def _routes() -> tuple[Route, ...]:
    return tuple(_below(get_resolver().url_patterns, ""))


def _below(patterns: Iterable[Any], prefix: str) -> Iterator[Route]:
    for one in patterns:
        path = prefix + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _below(one.url_patterns, path)
        elif path.startswith(f"{BASE[1:]}/"):
            for method in _methods(one.callback):
                yield method, segments_of(metrics.route(path))


def _methods(view: Any) -> Iterable[str]:
    actions = getattr(view, "actions", None)
    return [name.upper() for name in actions or dir(view.cls) if name.upper() in METHODS]
