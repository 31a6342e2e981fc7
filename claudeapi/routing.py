"""Which application answers: probes, streams and sockets have their own, the rest is Django's."""

from __future__ import annotations

from typing import Any, cast

from channels.routing import URLRouter
from django.conf import settings
from django.urls import re_path

from claudeapi.conf import options
from claudeapi.core import websocket
from claudeapi.core.access_log import note
from claudeapi.core.asgi_types import App, Receive, Scope, Send
from claudeapi.core.errors import NotFound, Unavailable
from claudeapi.core.request_id import request_id_var
from claudeapi.core.static import PackagedStaticFiles
from claudeapi.probes import probe
from console.live.routing import http_route as console_route
from sessions_app.streaming.routing import http_route, websocket_urlpatterns

API = ("/api/v1/", "/ws/")


async def unknown_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket path that does not exist."""
    await websocket.refuse(scope, receive, send, NotFound(), request_id_var.get())


class Router:
    """ASGI: by protocol, then by path."""

    def __init__(self, django: App) -> None:
        self._django = django
        self._static = PackagedStaticFiles()
        self._websockets = URLRouter(
            [*websocket_urlpatterns, re_path("", cast(Any, unknown_websocket))]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope.

        Raises:
            Unavailable: the API is switched off, and this is a part of it.
        """
        if not options().enabled and scope["path"].startswith(API):
            raise Unavailable("The API is switched off (CLAUDE_CODE_API_ENABLED).")
        if scope["type"] == "websocket":
            await self._websockets(scope, receive, send)
        elif scope["path"].startswith(settings.STATIC_URL):
            note(route=settings.STATIC_URL)
            below = {**scope, "root_path": settings.STATIC_URL.rstrip("/")}
            await self._static(below, receive, send)
        else:
            known = cast(dict[str, Any], scope)
            app = probe(scope) or http_route(known) or console_route(known) or self._django
            await app(scope, receive, send)
