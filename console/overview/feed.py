"""The front page's feed: one look a second for all who watch, sent when it has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator

from claudeapi.core.database import in_db
from console import roles
from console.live.exchange import StaffFeed, event
from console.live.ticker import Ticker
from console.overview import snapshot
from console.overview.snapshot import Overview

WAIT_SECONDS = 2.0


async def _look() -> Overview:
    return await in_db(snapshot.take)


ticker: Ticker[Overview] = Ticker(_look, seconds=1.0)


class OverviewFeed(StaffFeed):
    """`GET /admin/live/overview/`: event `overview`, whenever something has changed."""

    permission = roles.VIEW_LIVE

    async def feed(self) -> AsyncIterator[bytes | None]:
        """The state at once, then its changes."""
        told: Overview | None = None
        async with ticker.watching() as watch:
            while True:
                seen = await watch.next(WAIT_SECONDS)
                if seen is None or seen == told:
                    yield None
                else:
                    told = seen
                    yield event("overview", seen.as_json())
