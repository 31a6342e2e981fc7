"""Bounds on time that hold on a busy machine, too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

TRIES = 4


async def fastest(measure: Callable[[], Awaitable[float]], within: float) -> None:
    """A few tries must do it in so many seconds once: any one may have waited for its turn."""
    took = [await measure()]
    while min(took) >= within and len(took) < TRIES:
        took.append(await measure())
    assert min(took) < within, took
