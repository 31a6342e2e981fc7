"""What waits for an answer, live: one look a second for everybody who watches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from django.utils import timezone

from claudeapi.core.database import in_db
from console import roles
from console.live.exchange import StaffFeed, event
from console.live.ticker import Ticker
from console.reading.lists import LONG_IN_ITS_SESSION
from sessions_app.models import Approval, ApprovalStatus

SHOWN = 100


def pending() -> Any:
    """The approvals that can still be answered, the most urgent first."""
    rows = Approval.objects.filter(status=ApprovalStatus.PENDING, expires_at__gt=timezone.now())
    rows = rows.select_related("session__key").defer(*LONG_IN_ITS_SESSION)
    return rows.order_by("expires_at")


def waiting_ids() -> list[str]:
    """Their ids, as many as a page shows."""
    found = pending().values_list("pk", flat=True)[:SHOWN]
    return [str(identity) for identity in found]


async def _look() -> list[str]:
    return await in_db(waiting_ids)


waiting = Ticker(_look)


class ApprovalsFeed(StaffFeed):
    """Tells which approvals wait, whenever that has changed."""

    permission = roles.VIEW_SESSIONS

    async def feed(self) -> AsyncIterator[bytes | None]:
        """`approvals` events: `{ids}`."""
        told: list[str] | None = None
        async with waiting.watching() as watch:
            while True:
                ids = await watch.next(1.5)
                if ids is None or ids == told:
                    yield None
                else:
                    told = ids
                    yield event("approvals", {"ids": ids})
