"""One server process: it serves on while runs finish, then closes."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn

from claudeapi.conf import options
from claudeapi.core.lifecycle import state

# What runs that are cut off get to end, and their clients to be told: uvicorn closes WebSockets
# as soon as the drain is over.
FAREWELL_SECONDS = 15.0


class DrainingServer(uvicorn.Server):
    """Serves on while runs finish, then closes; a second Ctrl-C ends at once."""

    parent: int | None = None
    """A worker's supervisor: without it, the worker drains and ends."""

    announce: Callable[[], None] | None = None
    """Says that it serves, as soon as it does."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: the first asks to drain. It is not raised again, so that we exit with 0."""
        state.draining = True
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; what is alive then stays alive, so the collector need not look at it again."""
        await super().startup(sockets=sockets)
        gc.collect()
        gc.freeze()
        if self.announce is not None:
            self.announce()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if self.parent is not None and os.getppid() != self.parent:
            self.handle_exit(signal.SIGTERM, None)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain while still serving, then let uvicorn close everything."""
        drain = asyncio.ensure_future(state.drain(options().drain_timeout + FAREWELL_SECONDS))
        while not drain.done() and not self.force_exit:
            await asyncio.wait([drain], timeout=0.1)
        drain.cancel()
        await super().shutdown(sockets=sockets)
