"""What every page of the console gets: a strict policy for the browser, and a sign-in that ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.contrib.auth import logout
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from console import audit, failures
from console.sign_in import lifetime

ROOT = "/admin/"

# Nothing inline and nobody else's: what a hostile text smuggles into a page can do nothing.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

STATUS: dict[type[Exception], int] = {
    PermissionDenied: 403,
    Http404: 404,
    SuspiciousOperation: 400,
    BadRequest: 400,
}

Response = HttpResponseBase
GetResponse = Callable[[HttpRequest], Response | Awaitable[Response]]


class ConsoleMiddleware:
    """For paths below /admin/ only; after authentication. Sync or async, as it is asked."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self._next = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Response | Awaitable[Response]:
        """Answer one request."""
        if not request.path_info.startswith(ROOT):
            return self._next(request)
        if iscoroutinefunction(self._next):
            return self._async(request)
        self._before(request)
        response = self._next(request)
        assert isinstance(response, HttpResponseBase)
        return self._after(request, response)

    async def _async(self, request: HttpRequest) -> Response:
        await sync_to_async(self._before)(request)
        response = self._next(request)
        assert not isinstance(response, HttpResponseBase)
        return await sync_to_async(self._after)(request, await response)

    def process_exception(self, request: HttpRequest, exception: Exception) -> Response | None:
        """People get pages; the envelope of the API is for programs."""
        if not request.path_info.startswith(ROOT):
            return None
        for kind, status in STATUS.items():
            if isinstance(exception, kind):
                return failures.page(request, status)
        return None

    def _before(self, request: HttpRequest) -> None:
        # PostgreSQL takes no NUL, so no search or filter can mean one.
        request.META["QUERY_STRING"] = request.META.get("QUERY_STRING", "").replace("%00", "")
        audit.address_var.set(request.META.get("REMOTE_ADDR") or "")
        if request.user.is_authenticated:
            if lifetime.is_over(request.session):
                logout(request)
            elif not _is_background(request):
                lifetime.touch(request.session)

    def _after(self, request: HttpRequest, response: Response) -> Response:
        if response.status_code == 405:
            response = failures.page(request, 405)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault(
            "Permissions-Policy", "camera=(), microphone=(), geolocation=()"
        )
        return response


def _is_background(request: HttpRequest) -> bool:
    """Whether a page asked by itself: that nobody sits at it must not prolong the sign-in.

    Our scripts say so; browsers as well, where the console is served by TLS or from this machine.
    """
    if request.method not in ("GET", "HEAD"):
        return False
    headers = request.headers
    is_fetch = headers.get("X-Requested-With") == "fetch"
    return is_fetch or headers.get("Sec-Fetch-Dest") == "empty"
