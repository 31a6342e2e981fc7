"""One line a request, with the ids that those who answer it learn on the way."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import structlog

_fields: ContextVar[dict[str, Any] | None] = ContextVar("access_log_fields", default=None)

logger = structlog.get_logger("claudeapi.access")


def begin() -> dict[str, Any]:
    """Start collecting for one request; tasks and threads it starts share the result."""
    fields: dict[str, Any] = {}
    _fields.set(fields)
    return fields


def note(**fields: Any) -> None:
    """Add ids (`key`, `session`, `run`, `route`) to every later log line of this request.

    They reach the access line from any task or thread of the request. Never a secret.
    """
    structlog.contextvars.bind_contextvars(**fields)
    shared = _fields.get()
    if shared is not None:
        shared.update(fields)
