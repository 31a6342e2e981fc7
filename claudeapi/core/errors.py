"""Every error the API can answer with: one class per published code, one envelope.

The table of codes in the OpenAPI document and `docs/errors.md` is made from this file.
No Django here: engines and adapters raise these, the edges render them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

import orjson


class ApiError(Exception):
    """The root of the tree.

    Args:
        message: a sentence for a person; never a secret, a path or a stack trace.
        details: JSON-ready facts for a program.
        retry_after: seconds after which a retry makes sense; sent as `Retry-After`.
        headers: further response headers, such as the rate-limit ones.
    """

    status: ClassVar[int | None] = 500
    code: ClassVar[str] = "INTERNAL_ERROR"
    default_message: ClassVar[str] = "Something went wrong on our side."

    def __init__(
        self,
        message: str | None = None,
        *,
        details: dict[str, Any] | None = None,
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.details = details or {}
        self.retry_after = retry_after
        self.headers = headers or {}
        super().__init__(self.message)

    def response_headers(self) -> dict[str, str]:
        """The headers that belong to this answer, `Retry-After` on every 429 and 503."""
        headers = dict(self.headers)
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        elif self.status in (429, 503):
            headers.setdefault("Retry-After", "1")
        return headers


class InternalError(ApiError):
    """A fault of ours."""


class InvalidRequest(ApiError):
    """A field is missing, unknown or wrong; `details.fields` names each."""

    status, code = 400, "INVALID_REQUEST"
    default_message = "The request is not valid."

    @classmethod
    def field(cls, name: str, problem: str) -> InvalidRequest:
        """The error for one wrong field."""
        return cls(f"{name}: {problem}", details={"fields": {name: [problem]}})


class InvalidJson(ApiError):
    """The body is not JSON we accept."""

    status, code = 400, "INVALID_JSON"
    default_message = "The body is not valid JSON."


class MissingApiKey(ApiError):
    """No credentials were sent."""

    status, code = 401, "MISSING_API_KEY"
    default_message = "Send an API key as `x-api-key` or `Authorization: Bearer`."


class InvalidApiKey(ApiError):
    """The key is unknown, malformed, expired or revoked: one message for all."""

    status, code = 401, "INVALID_API_KEY"
    default_message = "This API key is not valid."


class BudgetExceeded(ApiError):
    """The key's or the session's money is spent."""

    status, code = 402, "BUDGET_EXCEEDED"
    default_message = "The budget is spent."


class InsufficientScope(ApiError):
    """The key lacks a scope this route needs."""

    status, code = 403, "INSUFFICIENT_SCOPE"
    default_message = "This API key lacks the scope for this."


class PolicyDenied(ApiError):
    """The key's policy does not allow what was asked: `{field, requested, allowed}`."""

    status, code = 403, "POLICY_DENIED"
    default_message = "The key's policy does not allow this."

    @classmethod
    def value(
        cls,
        field: str,
        requested: Any,
        allowed: Any,
        problem: str = "the key's policy does not allow this value.",
    ) -> PolicyDenied:
        """The refusal of one requested value."""
        return cls(
            f"{field}: {problem}",
            details={"field": field, "requested": requested, "allowed": allowed},
        )


class IpNotAllowed(ApiError):
    """The caller's address is outside the key's ranges."""

    status, code = 403, "IP_NOT_ALLOWED"
    default_message = "This API key may not be used from this address."


class NotFound(ApiError):
    """No such path or thing."""

    status, code = 404, "NOT_FOUND"
    default_message = "There is nothing at this path."


class SessionNotFound(ApiError):
    """No such session, or it belongs to another key."""

    status, code = 404, "SESSION_NOT_FOUND"
    default_message = "The session was not found."

    @classmethod
    def of(cls, session_id: object) -> SessionNotFound:
        """The error for one session id."""
        return cls(f"Session {session_id} was not found.", details={"sessionId": str(session_id)})


class RunNotFound(ApiError):
    """No such run in this session."""

    status, code = 404, "RUN_NOT_FOUND"
    default_message = "The run was not found."

    @classmethod
    def of(cls, run_id: object) -> RunNotFound:
        """The error for one run id."""
        return cls(f"Run {run_id} was not found.", details={"runId": str(run_id)})


class ApprovalNotFound(ApiError):
    """No such approval in this session."""

    status, code = 404, "APPROVAL_NOT_FOUND"
    default_message = "The approval was not found."

    @classmethod
    def of(cls, approval_id: object) -> ApprovalNotFound:
        """The error for one approval id."""
        return cls(
            f"Approval {approval_id} was not found.", details={"approvalId": str(approval_id)}
        )


class MethodNotAllowed(ApiError):
    """The path exists, the method does not."""

    status, code = 405, "METHOD_NOT_ALLOWED"
    default_message = "This method is not allowed here."


class NotAcceptable(ApiError):
    """No representation matches the Accept header."""

    status, code = 406, "NOT_ACCEPTABLE"
    default_message = "No answer in the media types the Accept header asks for."


class RequestTimeout(ApiError):
    """The caller's own `timeout` ran out; the run was cancelled."""

    status, code = 408, "REQUEST_TIMEOUT"
    default_message = "The timeout given with the message ran out; the run was cancelled."


class SessionBusy(ApiError):
    """A run is in progress: `{runId}`."""

    status, code = 409, "SESSION_BUSY"
    default_message = "A run is in progress in this session."


class SessionEnded(ApiError):
    """The session was ended; its history can still be read."""

    status, code = 409, "SESSION_ENDED"
    default_message = "The session has ended."


class ApprovalResolved(ApiError):
    """Somebody answered first."""

    status, code = 409, "APPROVAL_RESOLVED"
    default_message = "The approval was already answered."


class IdempotencyInProgress(ApiError):
    """The first request with this Idempotency-Key still runs: `{runId}`."""

    status, code = 409, "IDEMPOTENCY_IN_PROGRESS"
    default_message = "The first request with this Idempotency-Key is still in progress."


class SessionExpired(ApiError):
    """The session was idle past its lifetime."""

    status, code = 410, "SESSION_EXPIRED"
    default_message = "The session has expired."


class ApprovalExpired(ApiError):
    """Nobody answered in time: it was denied."""

    status, code = 410, "APPROVAL_EXPIRED"
    default_message = "The approval has expired and was denied."


class PayloadTooLarge(ApiError):
    """The body is over MAX_BODY_BYTES."""

    status, code = 413, "PAYLOAD_TOO_LARGE"
    default_message = "The body is too large."


class UnsupportedMediaType(ApiError):
    """The body is not `application/json`."""

    status, code = 415, "UNSUPPORTED_MEDIA_TYPE"
    default_message = "Send the body as application/json."


class IdempotencyConflict(ApiError):
    """The Idempotency-Key was used with another body."""

    status, code = 422, "IDEMPOTENCY_CONFLICT"
    default_message = "This Idempotency-Key was used with a different request."


class RateLimitExceeded(ApiError):
    """Too many requests in this window."""

    status, code = 429, "RATE_LIMIT_EXCEEDED"
    default_message = "Too many requests."


class MaxSessionsReached(ApiError):
    """As many sessions are active as are allowed."""

    status, code = 429, "MAX_SESSIONS_REACHED"
    default_message = "The number of active sessions allowed is reached."


class ConcurrencyLimitExceeded(ApiError):
    """As many runs are in progress, or wait in one session, as are allowed: `{limit, of}`."""

    status, code = 429, "CONCURRENCY_LIMIT_EXCEEDED"
    default_message = "The number of runs allowed at once is reached."


class UpstreamError(ApiError):
    """The upstream failed, or broke off its answer."""

    status, code = 502, "UPSTREAM_ERROR"
    default_message = "The upstream failed."


class UpstreamRejected(ApiError):
    """The upstream refused the request: its type and message in details."""

    status, code = 502, "UPSTREAM_REJECTED"
    default_message = "The upstream refused the request."


class UpstreamOverloaded(ApiError):
    """The upstream answered 429 or 529."""

    status, code = 503, "UPSTREAM_OVERLOADED"
    default_message = "The upstream is overloaded; try again later."


class Draining(ApiError):
    """The server is shutting down or paused, and takes no new runs."""

    status, code = 503, "DRAINING"
    default_message = "The server takes no new runs at the moment."


class Unavailable(ApiError):
    """Something this needs is not there."""

    status, code = 503, "UNAVAILABLE"
    default_message = "This is not available at the moment."


class UpstreamTimeout(ApiError):
    """The upstream sent no content for too long."""

    status, code = 504, "UPSTREAM_TIMEOUT"
    default_message = "The upstream sent nothing for too long."


class RunLost(ApiError):
    """The process that ran it died. Only ever the outcome of a run."""

    status, code = None, "RUN_LOST"
    default_message = "The process that ran this was lost; send the message again."


class RunCancelled(ApiError):
    """It was cancelled. Only ever the outcome of a run."""

    status, code = None, "RUN_CANCELLED"
    default_message = "The run was cancelled."


class MaxTurnsReached(ApiError):
    """The agent used up its turns. Only ever the outcome of a run."""

    status, code = None, "MAX_TURNS_REACHED"
    default_message = "The agent reached the number of turns allowed for one message."


# What a waiting POST answers with when a run ended in a code that has no status of its own.
OUTCOME_STATUS = {"RUN_LOST": 502, "RUN_CANCELLED": 409, "MAX_TURNS_REACHED": 422}


def _below(kind: type[ApiError]) -> Iterator[type[ApiError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


CODES: dict[str, type[ApiError]] = {kind.code: kind for kind in _below(ApiError)}


def timestamp(moment: datetime | None = None) -> str:
    """ISO 8601 in UTC with milliseconds and `Z`, as everywhere on the wire."""
    moment = (moment or datetime.now(UTC)).astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def body(error: ApiError) -> dict[str, Any]:
    """`{code, message, details}`: what a run keeps of its error."""
    return {"code": error.code, "message": error.message, "details": error.details}


def envelope(error: ApiError | dict[str, Any], request_id: str) -> dict[str, Any]:
    """The one error shape: `{error: {code, message, details}, timestamp, requestId}`."""
    return {
        "error": body(error) if isinstance(error, ApiError) else error,
        "timestamp": timestamp(),
        "requestId": request_id,
    }


def encoded(error: ApiError, request_id: str) -> bytes:
    """The envelope as JSON bytes."""
    return orjson.dumps(envelope(error, request_id))
