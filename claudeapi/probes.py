"""`/livez` and `/readyz`: plain ASGI, so that no thread or database stands before them."""

from __future__ import annotations

from starlette.responses import JSONResponse

from claudeapi.core import health
from claudeapi.core.access_log import note
from claudeapi.core.asgi_types import App, Receive, Scope, Send
from claudeapi.core.errors import MethodNotAllowed


async def livez(scope: Scope, receive: Receive, send: Send) -> None:
    """The process answers; whether it can work is `/readyz`."""
    await JSONResponse({"status": "ok"})(scope, receive, send)


async def readyz(scope: Scope, receive: Receive, send: Send) -> None:
    """Whether this process can take new work, check by check."""
    ready, checks = await health.readiness()
    status, headers = (200, {}) if ready else (503, {"Retry-After": "1"})
    await JSONResponse({"checks": checks}, status, headers)(scope, receive, send)


_PROBES: dict[str, App] = {"/livez": livez, "/readyz": readyz}


def probe(scope: Scope) -> App | None:
    """The probe that a request asks for.

    Raises:
        MethodNotAllowed: by another method than GET and HEAD.
    """
    path = scope["path"].removesuffix("/")
    found = _PROBES.get(path)
    if found is None:
        return None
    note(route=path)
    if scope["method"] not in ("GET", "HEAD"):
        raise MethodNotAllowed(headers={"Allow": "GET, HEAD"})
    return found
