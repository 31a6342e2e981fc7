"""The id that follows a request through its answer, its errors and its log lines."""

from __future__ import annotations

import re
from contextvars import ContextVar
from uuid import uuid4

HEADER = "X-Request-ID"

request_id_var: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being answered; empty outside of one."""

_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,128}")


def accept(header: str | None) -> str:
    """A client's own id where it is one we take over, else a new UUID."""
    if header and _ACCEPTED.fullmatch(header):
        return header
    return str(uuid4())
