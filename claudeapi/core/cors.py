"""CORS: which pages of other origins may call us, and read our headers. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from claudeapi.core.errors import InvalidRequest

EXPOSED_HEADERS = (
    "X-Request-ID",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Retry-After",
    "Location",
    "Idempotency-Replayed",
)
ALLOWED_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "Last-Event-ID",
    "X-API-Key",
    "X-Request-ID",
)
ALLOWED_METHODS = ("GET", "POST", "PATCH", "DELETE")
MAX_AGE_SECONDS = 600

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Cors:
    """The rules; without origins, CORS is off and nothing is added."""

    origins: tuple[str, ...]

    def headers(self, origin: str) -> Headers:
        """What every answer to this origin gets; an unlisted one, or none, learns nothing."""
        if not self.origins:
            return []
        vary = (b"vary", b"Origin")
        if origin not in self.origins:
            return [vary]
        exposed = ", ".join(EXPOSED_HEADERS).encode()
        return [
            (b"access-control-allow-origin", origin.encode()),
            (b"access-control-expose-headers", exposed),
            vary,
        ]

    def is_preflight(self, method: str, origin: str, asked_method: str) -> bool:
        """Whether a browser asks if it may ask."""
        return bool(self.origins and method == "OPTIONS" and origin and asked_method)

    def preflight(self, origin: str) -> Headers:
        """The headers of a preflight's answer; the browser compares.

        Raises:
            InvalidRequest: the origin is not listed.
        """
        if origin not in self.origins:
            raise InvalidRequest("This origin is not allowed (CORS_ALLOWED_ORIGINS).")
        return [
            (b"access-control-allow-methods", ", ".join(ALLOWED_METHODS).encode()),
            (b"access-control-allow-headers", ", ".join(ALLOWED_HEADERS).encode()),
            (b"access-control-max-age", str(MAX_AGE_SECONDS).encode()),
        ]
