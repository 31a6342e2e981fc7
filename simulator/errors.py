"""Failures in the shape the real Messages API gives them."""

from __future__ import annotations

from typing import Any

TYPE_OF_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""The ``error.type`` that goes with each HTTP status, as the Messages API documents them."""

MESSAGE_OF_TYPE = {
    "rate_limit_error": "This request would exceed your organization's rate limit.",
    "api_error": "Internal server error",
    "overloaded_error": "Overloaded",
    "timeout_error": "Request timed out",
}


class ApiError(Exception):
    """An answer other than 200.

    ``status`` is the HTTP status, ``kind`` the ``error.type`` (default: the one that goes with the
    status), ``headers`` go out beside the body.
    """

    def __init__(
        self,
        status: int,
        message: str = "",
        *,
        kind: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status = status
        self.kind = kind or TYPE_OF_STATUS.get(
            status, "api_error" if status >= 500 else "invalid_request_error"
        )
        self.message = message or MESSAGE_OF_TYPE.get(self.kind, f"Simulated {self.kind}")
        self.headers = headers or {}
        super().__init__(f"{status} {self.kind}: {self.message}")

    def body(self, request_id: str) -> dict[str, Any]:
        """The error body, also used as the data of an ``error`` event."""
        return {
            "type": "error",
            "error": {"type": self.kind, "message": self.message},
            "request_id": request_id,
        }


def invalid(message: str) -> ApiError:
    """A 400 ``invalid_request_error``, the most frequent refusal."""
    return ApiError(400, message)
