"""One look a second for everybody who watches: a query costs the same for one or for fifty."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Ticker(Generic[T]):
    """Looks again and again while somebody watches, and hands everybody what it last saw.

    Args:
        look: takes one look, in the event loop.
        seconds: between two looks.
    """

    def __init__(self, look: Callable[[], Awaitable[T]], seconds: float = 1.0) -> None:
        self._look = look
        self._seconds = seconds
        self._watchers = 0
        self._seen: T | None = None
        self._round = 0
        self._waiters: set[asyncio.Future[None]] = set()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Watch[T]]:
        """Watch for as long as the context lasts."""
        self._watchers += 1
        if self._task is None:
            # A clean context: a request's would keep what it holds alive.
            self._task = asyncio.get_running_loop().create_task(
                self._run(), context=contextvars.Context()
            )
        try:
            yield Watch(self)
        finally:
            self._watchers -= 1
            if not self._watchers and self._task is not None:
                self._task.cancel()
                self._task, self._seen = None, None

    async def _run(self) -> None:
        while True:
            try:
                self._seen = await self._look()
                self._round += 1
                self._wake()
            except Exception:
                log.exception("console_look_failed")
            await asyncio.sleep(self._seconds)

    async def after(self, number: int, seconds: float) -> tuple[int, T] | None:
        """The number of the newest look and what it saw, once it is another than this one.

        None after so many seconds without news.
        """
        if self._seen is None or self._round == number:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                async with asyncio.timeout(seconds):
                    await waiter
            except TimeoutError:
                return None
            finally:
                self._waiters.discard(waiter)
        return None if self._seen is None else (self._round, self._seen)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


class Watch(Generic[T]):
    """One watcher's place: it sees each look at most once."""

    def __init__(self, ticker: Ticker[T]) -> None:
        self._ticker = ticker
        self._number = -1

    async def next(self, seconds: float) -> T | None:
        """What was seen last, once it is new; None after so many seconds without news."""
        found = await self._ticker.after(self._number, seconds)
        if found is None:
            return None
        self._number, seen = found
        return seen
