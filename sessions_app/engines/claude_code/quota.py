"""How much disk the folders of a session may take, and what happens to what takes more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

from claudeapi.core.errors import ApiError
from sessions_app.engines.base import Turn
from sessions_app.engines.claude_code.workspaces import Workspaces, too_large

# Looking may be slow, where there are many files: it takes a small part of the time.
_PAUSE = 20


class Quota:
    """Measures before an agent starts, now and then while it works, and after each run.

    Args:
        limit: bytes; None for no bound.
        seconds: between two looks while a run is in progress.
    """

    def __init__(self, workspaces: Workspaces, limit: int | None, seconds: float) -> None:
        self._workspaces = workspaces
        self._limit = limit
        self._seconds = seconds
        self._sizes: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def check(self, turn: Turn) -> None:
        """Pass if the session had room when it was measured last.

        Raises:
            PolicyDenied: it had not.
        """
        size = self._sizes.get(turn.session_id, 0)
        if self._limit is not None and size > self._limit:
            raise too_large(size, self._limit)

    async def measure(self, turn: Turn, *, at_start: bool = False) -> None:
        """Look how large the session's folders are.

        Args:
            at_start: a process is about to start, and will find its own folders empty.
        """
        if self._limit is not None:
            self._sizes[turn.session_id] = await asyncio.to_thread(
                self._workspaces.size,
                turn.key_id,
                turn.session_id,
                self._limit,
                turn.config.get("workspace") or "",
                at_start=at_start,
            )

    @asynccontextmanager
    async def kept(self, turn: Turn, end: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Keep an eye on a run, so that one alone cannot fill the disk; measure after it.

        Args:
            end: ends the agent.

        Raises:
            PolicyDenied: it was ended for what it took.
        """
        watching = self._spawn(self._watch(turn, end))
        try:
            yield
        except ApiError:
            self.check(turn)
            raise
        finally:
            watching.cancel()
            self._spawn(self.measure(turn))

    async def _watch(self, turn: Turn, end: Callable[[], Awaitable[None]]) -> None:
        pause = self._seconds
        while self._sizes.get(turn.session_id, 0) <= (self._limit or 0):
            await asyncio.sleep(pause)
            begun = time.monotonic()
            await self.measure(turn)
            pause = max(self._seconds, _PAUSE * (time.monotonic() - begun))
        await end()

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def forget(self, session_id: str) -> None:
        """Measure anew before the session's next message."""
        self._sizes.pop(session_id, None)

    def close(self) -> None:
        """Look no more."""
        for task in tuple(self._tasks):
            task.cancel()
