"""A fair part of the event loop's time, for work that holds it up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

REST = 4
"""Times as long as one took, the next one waits."""


class LoopShare:
    """Lets one agent hold up the event loop for a fifth of the time, and no more.

    What is done with it cannot be interrupted, as the reading of large JSON. Nobody waits who
    does it now and then.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._free_at = 0.0

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[None]:
        """Wait for it; then nobody else has it."""
        async with self._lock:
            await asyncio.sleep(max(0.0, self._free_at - time.monotonic()))
            begun = time.monotonic()
            try:
                yield
            finally:
                ended = time.monotonic()
                self._free_at = ended + REST * (ended - begun)
