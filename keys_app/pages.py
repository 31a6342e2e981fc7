"""Web pages that act through a visitor's browser. Without a key, nothing else keeps them out."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from claudeapi.conf import options
from claudeapi.core.errors import PolicyDenied

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS = frozenset({"same-origin", "none"})


def refuse_foreign(headers: Mapping[str, str], method: str) -> None:
    """Pass unless it `is_foreign`.

    Raises:
        PolicyDenied.
    """
    if is_foreign(headers, method):
        origin = headers.get("origin") or headers.get("sec-fetch-site")
        raise PolicyDenied.value(
            "Origin",
            origin,
            list(options().cors_allowed_origins),
            "without a key, pages of other origins may not do this.",
        )


def is_foreign(headers: Mapping[str, str], method: str) -> bool:
    """Whether a page that `CORS_ALLOWED_ORIGINS` does not name wants to change something.

    Browsers say where a request comes from in `Sec-Fetch-Site`, and over plain HTTP in `Origin`
    alone; a page can leave neither out of what changes something. Programs send neither, and are
    no pages. Of a GET over plain HTTP we may hear nothing: it also takes a session's id, which no
    foreign page can read.

    Args:
        method: of the request; a WebSocket has none, and may change things.
    """
    origin = headers.get("origin", "")
    if method in _READS or origin in options().cors_allowed_origins:
        return False
    site = headers.get("sec-fetch-site", "")
    if site:
        return site not in _OURS
    return bool(origin) and urlsplit(origin).netloc != headers.get("host", "")
