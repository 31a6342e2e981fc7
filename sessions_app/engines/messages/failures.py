"""Every way in which an upstream fails, as the error our callers are told."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import anthropic
import httpx2

from claudeapi.core.errors import (
    ApiError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
)
from sessions_app.engines.base import Upstream
from sessions_app.engines.fold import MalformedStream
from sessions_app.engines.frames import FrameTooLong
from sessions_app.engines.redaction import without_key

# What the SDK, its transport and our reading of the stream raise; all else is a fault of ours.
VENDOR_ERRORS = (
    anthropic.AnthropicError,
    httpx2.HTTPError,
    aiohttp.ClientError,
    OSError,
    MalformedStream,
    FrameTooLong,
)

_OVERLOADED_STATUS = (429, 529)
_OVERLOADED_TYPES = ("overloaded_error", "rate_limit_error")
_REJECTED_TYPES = (
    "authentication_error",
    "billing_error",
    "invalid_request_error",
    "not_found_error",
    "permission_error",
    "request_too_large",
)
_LONGEST_TEXT = 2_000


def from_exception(error: Exception, upstream: Upstream) -> ApiError:
    """The published error for one of `VENDOR_ERRORS`."""
    match error:
        case anthropic.APIStatusError():
            return _from_status(error, upstream)
        case anthropic.APITimeoutError() | httpx2.TimeoutException():
            return UpstreamTimeout()
        case anthropic.APIConnectionError():
            return UpstreamError("The upstream could not be reached, or closed the connection.")
        case MalformedStream() | FrameTooLong() | anthropic.APIResponseValidationError():
            return UpstreamError("The upstream's answer is not a Messages API stream.")
        case _:
            return broken_off()


def from_error_event(event: dict[str, Any], request_id: str | None, upstream: Upstream) -> ApiError:
    """The published error for an `error` event in the middle of a stream."""
    body = event.get("error")
    body = body if isinstance(body, dict) else {}
    details = _details(body, 200, event.get("request_id") or request_id, upstream)
    if details["type"] in _OVERLOADED_TYPES:
        return UpstreamOverloaded(details=details)
    if details["type"] in _REJECTED_TYPES:
        return UpstreamRejected(details=details)
    return UpstreamError("The upstream failed in the middle of its answer.", details=details)


def not_a_stream(response: httpx2.Response) -> ApiError:
    """The published error for a success that is no event stream: a login page, a JSON body."""
    kind = response.headers.get("content-type", "nothing").partition(";")[0]
    return UpstreamError(
        f"The upstream answered {_clean(kind, '')} where an event stream was due.",
        details={"status": response.status_code},
    )


def broken_off() -> ApiError:
    """The published error for a reply without its end."""
    return UpstreamError("The upstream broke off its answer.")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds until a retry makes sense, by `retry-after-ms` or `retry-after`; else None."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) / unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    date = email.utils.parsedate_tz(headers.get("retry-after", ""))
    return max(email.utils.mktime_tz(date) - time.time(), 0.0) if date else None


def _from_status(error: anthropic.APIStatusError, upstream: Upstream) -> ApiError:
    status = error.status_code
    body = error.body.get("error") if isinstance(error.body, dict) else None
    body = body if isinstance(body, dict) else {}
    details = _details(body, status, error.request_id, upstream)
    if status in _OVERLOADED_STATUS:
        wait = retry_after(error.response.headers)
        seconds = None if wait is None else max(1, math.ceil(wait))
        return UpstreamOverloaded(details=details, retry_after=seconds)
    if 400 <= status < 500:
        return UpstreamRejected(details=details)
    return UpstreamError(f"The upstream answered {status}.", details=details)


def _details(
    body: dict[str, Any], status: int, request_id: object, upstream: Upstream
) -> dict[str, Any]:
    secret = upstream.api_key
    return {
        "type": _clean(body.get("type"), secret),
        "message": _clean(body.get("message"), secret),
        "status": status,
        "requestId": _clean(request_id, secret) or None,
    }


def _clean(text: object, secret: str) -> str:
    """Text of the upstream's, fit to be shown."""
    if not isinstance(text, str):
        return ""
    return without_key(text, secret).encode("utf-8", "replace").decode()[:_LONGEST_TEXT]
