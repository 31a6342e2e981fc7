"""Keys for consumers: the same door, limits and scopes, from an ASGI scope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from claudeapi.core.access_log import note
from claudeapi.core.database import in_db
from claudeapi.core.errors import ApiError
from keys_app import auth, limits, pages, policy, scopes
from keys_app.limits import RateState
from keys_app.models import ApiKey, Source

Request = tuple[Mapping[str, str], str, str, str]


async def admit(scope: Mapping[str, Any], *, needs: str) -> tuple[ApiKey, RateState]:
    """Authenticate a request or WebSocket, count it, and ask for a scope.

    The headers of the state belong on the answer; an error raised after the count carries them.

    Raises:
        MissingApiKey, InvalidApiKey, IpNotAllowed, PolicyDenied, RateLimitExceeded,
        InsufficientScope, Unavailable.
    """
    request = (headers_of(scope), scope.get("method", "WEBSOCKET"), scope["path"], ip_of(scope))
    known = auth.remembered(*request) if limits.counts_in_memory() else None
    # A key seen within the last two seconds needs no thread: a fifth of the CPU time.
    if known:
        admitted = _counted(known, request, needs)
    else:
        admitted = await in_db(_admit, request, needs)
    note(key=admitted[0].prefix)
    return admitted


async def still_live(key_id: UUID) -> bool:
    """Whether an open stream's key still stands; cheap enough to ask every second."""
    known = auth.known_live(key_id)
    return await in_db(auth.is_live, key_id) if known is None else known


def headers_of(scope: Mapping[str, Any]) -> dict[str, str]:
    """Headers by lower-case name; one that is sent twice is joined, as Django joins it."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


def ip_of(scope: Mapping[str, Any]) -> str:
    """The client's address; empty over a Unix socket."""
    client = scope.get("client")
    return client[0] if client else ""


def _admit(request: Request, needs: str) -> tuple[ApiKey, RateState]:
    return _counted(auth.identify(*request), request, needs)


def _counted(key: ApiKey, request: Request, needs: str) -> tuple[ApiKey, RateState]:
    if key.source == Source.ANONYMOUS and needs not in scopes.READING:
        pages.refuse_foreign(request[0], "POST")  # a GET that sends a message is one to a page
    return key, count(key, needs)


def count(key: ApiKey, needs: str) -> RateState:
    """Count one request or command of a key, and ask for a scope.

    Raises:
        RateLimitExceeded, Unavailable; InsufficientScope, with the state's headers.
    """
    state = limits.hit(key)
    try:
        policy.require_scope(key, needs)
    except ApiError as error:
        error.headers.update(state.headers())
        raise
    return state
