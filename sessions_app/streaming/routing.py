"""Which requests are answered by consumers: all others are Django's."""

from __future__ import annotations

import re
from typing import Any

from django.urls import re_path

from claudeapi.core.access_log import note
from sessions_app.streaming.exchange import HttpExchange
from sessions_app.streaming.http import FollowSession, SendMessage, StreamMessage
from sessions_app.streaming.listing import ListModels
from sessions_app.streaming.socket import SessionSocket

ROUTE = re.compile(r"/api/v1/sessions/(?P<session_id>[^/]+)/(?P<what>messages|stream)/?")

MODELS = re.compile(r"/api/v1/models/?")

EXCHANGES: dict[tuple[str, str], type[HttpExchange]] = {
    ("POST", "messages"): SendMessage,
    ("POST", "stream"): StreamMessage,
    ("GET", "stream"): FollowSession,
}

websocket_urlpatterns = [
    re_path(r"^ws/v1/sessions/(?P<session_id>[^/]+)/?$", SessionSocket.as_asgi()),
]


def http_route(scope: dict[str, Any]) -> Any:
    """The ASGI application for a request that waits or streams, or None."""
    path = scope["path"]
    if scope["method"] in ("GET", "HEAD") and MODELS.fullmatch(path):
        note(route="/api/v1/models")
        return ListModels.as_asgi()
    found = ROUTE.fullmatch(path)
    kind = EXCHANGES.get((scope["method"], found["what"])) if found else None
    if found is None or kind is None:
        return None
    note(route=f"/api/v1/sessions/{{session_id}}/{found['what']}")
    scope["url_route"] = {"args": (), "kwargs": {"session_id": found["session_id"]}}
    return kind.as_asgi()
