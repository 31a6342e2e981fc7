"""Django under ASGI: one change of thread a request, into threads that keep their connections.

Django's own handler starts a thread for every request, goes there and back for every middleware,
and opens a database connection each time. Our Django views are sync and short, and what is
long-lived is not answered by Django, so a few threads do for all of them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import sync_to_async
from django.core.cache import close_caches
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import ResolverMatch

from claudeapi.core import metrics
from claudeapi.core.access_log import note
from claudeapi.core.database import recycle_connections

THREADS = 8


class ThreadedHandler(ASGIHandler):
    """Runs all middleware and the view in one go, in one of a few long-lived threads."""

    def __init__(self) -> None:
        super().__init__()
        self._answer = sync_to_async(
            self._answer_and_recycle,
            thread_sensitive=False,
            executor=ThreadPoolExecutor(THREADS, thread_name_prefix="request"),
        )
        _disconnect_receivers()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request, without the thread of its own that Django gives it."""
        await self.handle(scope, receive, send)

    def load_middleware(self, is_async: bool = False) -> None:
        """Build the chain in its sync form."""
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        """Answer one request."""
        return await self._answer(request)

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        """Find the view, and note its route: what was asked is not a name for metrics."""
        match = super().resolve_request(request)
        note(route=metrics.route(match.route))
        return match

    def _answer_and_recycle(self, request: HttpRequest) -> HttpResponseBase:
        try:
            response = self.get_response(request)
        finally:
            recycle_connections()
        if response.status_code == 204:
            del response.headers["Content-Length"]  # RFC 9110: a 204 has none
        elif isinstance(response, HttpResponse) and not response.has_header("Content-Length"):
            response.headers["Content-Length"] = str(len(response.content))
        return response


def _disconnect_receivers() -> None:
    """Take Django's own care of connections off every request: `recycle_connections` has it.

    Its receivers would run in yet another thread, twice a request, for connections that are
    not there. Our caches have nothing to close.
    """
    request_started.disconnect(reset_queries)
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    request_finished.disconnect(close_caches)
