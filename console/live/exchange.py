"""Live feeds for signed-in staff: server-sent events that end when the sign-in does.

No thread is held: who is signed in is asked of the database every two seconds, in `in_db`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from time import monotonic
from typing import Any

import orjson

from claudeapi.core import errors
from claudeapi.core.database import in_db
from claudeapi.core.lifecycle import state
from console.live import staff
from sessions_app.streaming import sse
from sessions_app.streaming.exchange import HttpExchange

CHECK_SECONDS = 2.0
KEEPALIVE_SECONDS = 10.0
HEADERS = {**sse.HEADERS, "X-Content-Type-Options": "nosniff"}


class StaffFeed(HttpExchange):
    """One browser's feed. Subclasses set `permission` and yield from `feed`.

    Attributes:
        permission: of `console.roles`; lost, it ends the feed within seconds.
        user: who watches, while `feed` runs.
    """

    permission: str
    user: Any

    def feed(self) -> AsyncIterator[bytes | None]:
        """Yield pieces made by `event`, and None at least every two seconds."""
        raise NotImplementedError

    @property
    def arguments(self) -> dict[str, str]:
        """What the path's pattern named."""
        return dict(self.scope["url_route"]["kwargs"])

    async def respond(self) -> None:
        """Greet, then send what the feed yields until either side has enough."""
        cookie = staff.cookie_of(self.scope)
        self.user = await in_db(staff.admit, cookie, self.permission)
        await self.prepare()
        await self.start(200, HEADERS)
        await self.write(b"retry: %d\n" % sse.RETRY_MS + event("connected", {}))
        await self._pump(cookie)
        await self.write(b"", more=False)

    async def prepare(self) -> None:
        """Refuse, by raising, what can be known before the feed starts."""

    async def _pump(self, cookie: str) -> None:
        checked = told = monotonic()
        async with aclosing(self.feed()) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                now = monotonic()
                if piece is not None:
                    await self.write(piece)
                    told = now
                elif now - told > KEEPALIVE_SECONDS:
                    await self.write(event("alive", {}))
                    told = now
                if now - checked > CHECK_SECONDS:
                    checked = now
                    if goodbye := await self._goodbye(cookie):
                        await self.write(goodbye)
                        return
                # A client that left makes `send` return without yielding.
                await asyncio.sleep(0)

    async def _goodbye(self, cookie: str) -> bytes | None:
        if state.draining:
            return event("restarting", {})
        try:
            await in_db(staff.admit, cookie, self.permission)
        except errors.ApiError as error:
            return event("signed-out", {"code": error.code})
        return None


def event(name: str, data: Any) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(data, default=str))
