"""One wait at a time, ended early when the host cancels or nothing comes for too long."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import TypeVar

from claudeapi.core.errors import UpstreamTimeout

T = TypeVar("T")


class Cancelled(Exception):
    """The host asked for the end of the run."""


class Guard:
    """Guards the waits of one run.

    One timer a run, moved only when it fires, and one task that waits for the host's event: the
    cost does not grow with the number of events. An early end is delivered as `asyncio.timeout`
    does it, by cancelling the task that waits and taking the cancellation back; between two waits
    nothing is interrupted, so the code of whoever reads our events never is.

    Args:
        cancelled: set by the host to end the run.
        patience: seconds that may pass without content.
    """

    def __init__(self, cancelled: asyncio.Event, patience: float) -> None:
        loop = asyncio.get_running_loop()
        self._now = loop.time
        self._call_at = loop.call_at
        self._cancelled = cancelled
        self._patience = patience
        self._since = loop.time()
        self._waiting: asyncio.Task[object] | None = None
        self._verdict: Exception | None = None
        self._timer = loop.call_at(self._since + patience, self._look)
        # A context of its own: the task must not keep what hangs on the request's.
        self._watch = loop.create_task(self._until_cancelled(), context=contextvars.Context())

    def restart(self, patience: float | None = None) -> None:
        """Content has come: the patience, or another one from now on, counts anew."""
        self._since = self._now()
        if patience is not None:
            self._patience = patience
            self._timer.cancel()
            self._timer = self._call_at(self._since + patience, self._look)

    async def wait(self, step: Callable[[], Awaitable[T]]) -> T:
        """The result of `step()`.

        Raises:
            Cancelled: the host wants the end.
            UpstreamTimeout: nothing has come for as long as the patience lasts.
        """
        if self._cancelled.is_set():
            raise Cancelled
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a Guard waits in a task")
        earlier = task.cancelling()
        self._waiting = task
        try:
            result = await step()
        except BaseException:
            self._waiting = None
            if self._verdict is None or task.uncancel() > earlier:
                raise
            raise self._verdict from None
        self._waiting = None
        if self._verdict is not None:
            task.uncancel()
            raise self._verdict
        return result

    def close(self) -> None:
        """Stop the timer and the task."""
        self._timer.cancel()
        self._watch.cancel()

    async def _until_cancelled(self) -> None:
        await self._cancelled.wait()
        self._interrupt(Cancelled())

    def _look(self) -> None:
        now = self._now()
        if self._waiting is None:
            # Whoever reads our events is slow, not the upstream.
            self._since = now
        due = self._since + self._patience
        if due <= now:
            self._interrupt(UpstreamTimeout())
        else:
            self._timer = self._call_at(due, self._look)

    def _interrupt(self, verdict: Exception) -> None:
        if self._waiting is not None and self._verdict is None:
            self._verdict = verdict
            self._waiting.cancel()
