"""Start, drain and stop of this process: apps register what they need, the server calls it.

The server knows no app's internals, and the apps know no server. Under uvicorn the ASGI
lifespan starts and stops; daphne has none, so the first request starts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from claudeapi.core.asgi_types import App, Receive, Scope, Send

logger = structlog.get_logger(__name__)

Callback = Callable[[], Awaitable[None]]


class Lifecycle:
    """What state this process is in, and what to call when that changes.

    Attributes:
        started: everything registered for the start has run.
        draining: no new runs are taken; those in progress may finish.
    """

    def __init__(self) -> None:
        self.started = False
        self.draining = False
        self._startup: list[Callback] = []
        self._drain: list[Callback] = []
        self._shutdown: list[Callback] = []
        self._lock = asyncio.Lock()

    def on_startup(self, callback: Callback) -> Callback:
        """Call it before the first request, in the order of registration."""
        self._startup.append(callback)
        return callback

    def on_drain(self, callback: Callback) -> Callback:
        """Await it when the process shall end, while it still serves: let runs finish."""
        self._drain.append(callback)
        return callback

    def on_shutdown(self, callback: Callback) -> Callback:
        """Call it last, in reverse order: free what is held."""
        self._shutdown.append(callback)
        return callback

    async def start(self) -> None:
        """Start what is registered, once; the second caller waits for the first.

        Raises:
            Exception: whatever a callback raises. The next call tries again.
        """
        async with self._lock:
            if self.started:
                return
            for callback in self._startup:
                await callback()
            self.started = True

    async def drain(self, seconds: float) -> None:
        """Take no new runs, and wait for those in progress for at most that long."""
        self.draining = True
        waiting = [asyncio.ensure_future(callback()) for callback in self._drain]
        if not waiting:
            return
        done, late = await asyncio.wait(waiting, timeout=seconds)
        for task in late:
            task.cancel()
        if late:
            logger.warning("drain_timeout", seconds=seconds, unfinished=len(late))
        for task in done:
            if error := task.exception():
                logger.error("drain_failed", exc_info=error)

    async def stop(self) -> None:
        """Free everything; what fails does not keep the rest from being freed."""
        self.draining = True
        if not self.started:
            return
        self.started = False
        for callback in reversed(self._shutdown):
            try:
                await callback()
            except Exception:
                logger.exception("shutdown_failed")


state = Lifecycle()
"""This process."""


class Lifespan:
    """ASGI: answers the server's lifespan; without one, starts at the first request."""

    def __init__(self, app: App, lifecycle: Lifecycle = state) -> None:
        self._app = app
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if not self._lifecycle.started and not self._lifecycle.draining:
            await self._lifecycle.start()
        await self._app(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "lifespan.shutdown":
            try:
                await self._lifecycle.start()
            except Exception as error:
                logger.exception("startup_failed")
                await send({"type": "lifespan.startup.failed", "message": type(error).__name__})
                return
            await send({"type": "lifespan.startup.complete"})
        await self._lifecycle.stop()
        await send({"type": "lifespan.shutdown.complete"})
