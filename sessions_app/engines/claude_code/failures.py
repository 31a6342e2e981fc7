"""How an upstream can fail, as the relay sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from sessions_app.engines.redaction import without_key

FailureKind = Literal["status", "unreachable", "cut", "stalled", "budget", "model"]


@dataclass(frozen=True, slots=True)
class Failure:
    """How the upstream failed last.

    Attributes:
        kind: `status` for an error answer (also one in mid-stream), `budget` and `model`
            where we let a request not through, else what happened.
        status: the HTTP status; None where there was no answer.
        type, message: the upstream's own words; of a `budget`, the type is whose it was.
        retry_after: seconds the upstream asked to wait.
        allowed: the models there are instead of the one in `message`.
    """

    kind: FailureKind
    status: int | None = None
    type: str = ""
    message: str = ""
    retry_after: int | None = None
    allowed: Sequence[str] = ()


_STATUS_OF_TYPE = {
    "overloaded_error": 529,
    "rate_limit_error": 429,
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
}


def in_midstream(error: dict[str, Any], api_key: str) -> Failure:
    """The failure an `error` event tells: its type stands for the status it could not send.

    Args:
        api_key: what is left out of its words.
    """
    kind, message = (without_key(str(error.get(name, "")), api_key) for name in ("type", "message"))
    return Failure("status", _STATUS_OF_TYPE.get(kind, 500), kind, message)


def refused(status: int, body: bytes, retry_after: str) -> Failure:
    """The failure that an error answer tells.

    Args:
        body: without the key.
        retry_after: the header; a date in it is not read.
    """
    error = _error_of(body)
    wait = int(retry_after) if retry_after.isdecimal() else None
    return Failure("status", status, error.get("type", ""), error.get("message", ""), wait)


def _error_of(body: bytes) -> dict[str, str]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if not isinstance(error, dict):
        return {}
    return {key: str(value) for key, value in error.items() if key in ("type", "message")}
