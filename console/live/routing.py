"""Which requests below /admin/ are live feeds: all others are Django's."""

from __future__ import annotations

import re
from typing import Any

from claudeapi.core.access_log import note
from console.approvals.feed import ApprovalsFeed
from console.live.exchange import StaffFeed
from console.overview.feed import OverviewFeed
from console.sessions.feed import SessionFeed

FEEDS: tuple[tuple[re.Pattern[str], type[StaffFeed]], ...] = (
    (re.compile(r"/admin/live/overview/"), OverviewFeed),
    (re.compile(r"/admin/live/approvals/"), ApprovalsFeed),
    (
        re.compile(
            r"/admin/live/sessions/(?P<session_id>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})/"
        ),
        SessionFeed,
    ),
)


def http_route(scope: dict[str, Any]) -> Any:
    """The ASGI application for a live feed, or None."""
    path = scope["path"]
    if scope["method"] != "GET" or not path.startswith("/admin/live/"):
        return None
    for pattern, feed in FEEDS:
        if found := pattern.fullmatch(path):
            note(route="/admin/live/")
            scope["url_route"] = {"args": (), "kwargs": found.groupdict()}
            return feed.as_asgi()
    return None
