"""A session's events, live, for signed-in staff."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

from claudeapi.core import errors
from claudeapi.core.database import in_db
from console import roles
from console.live.exchange import StaffFeed
from keys_app.asgi import headers_of
from sessions_app import eventlog
from sessions_app.hub import Event
from sessions_app.models import Session
from sessions_app.streaming import sse

LOOK_UP_SECONDS = 1.0


class SessionFeed(StaffFeed):
    """What follows `?after=N`, or after the last event that a reconnecting browser saw."""

    permission = roles.VIEW_SESSIONS

    async def prepare(self) -> None:
        """Refuse a session that does not exist, and a place that it has not reached."""
        self._session = UUID(self.arguments["session_id"])
        rows = Session.objects.filter(pk=self._session).values_list("reserved_event_id", flat=True)
        reached = await in_db(rows.first)
        if reached is None:
            raise errors.SessionNotFound.of(self._session)
        self._after = self._cursor()
        if self._after > reached:
            raise errors.InvalidRequest.field("after", "no event has this number yet.")

    async def feed(self) -> AsyncIterator[bytes | None]:
        """The events as the API streams them, numbers included; `error` is called `failed`."""
        async with (
            aclosing(eventlog.follow(self._session, self._after)) as batches,
            aclosing(ticking(batches, LOOK_UP_SECONDS)) as looked_at,
        ):
            async for batch in looked_at:
                yield sse.encoded(map(renamed, batch)) if batch else None

    def _cursor(self) -> int:
        text = headers_of(self.scope).get("last-event-id") or self.query().get("after", "0")
        if not text.isdecimal() or len(text) > 18:
            raise errors.InvalidRequest.field("after", "must be a number.")
        return int(text)


def renamed(event: Event) -> Event:
    """The event under a name that an EventSource does not use for its own."""
    return replace(event, name="failed") if event.name == "error" else event


async def ticking(
    batches: AsyncGenerator[Sequence[Event], None], seconds: float
) -> AsyncGenerator[Sequence[Event], None]:
    """The same batches, and an empty one after so many seconds of silence."""
    waiting: asyncio.Future[Sequence[Event]] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(batches))
            done, _ = await asyncio.wait({waiting}, timeout=seconds)
            if not done:
                yield ()
                continue
            batch, waiting = waiting.result(), None
            yield batch
    finally:
        if waiting is not None:
            waiting.cancel()
            await asyncio.wait({waiting})
