"""What a key may be allowed to do. Pure: importable without Django."""

from __future__ import annotations

from collections.abc import Iterable

SESSIONS_READ = "sessions:read"
SESSIONS_WRITE = "sessions:write"
APPROVALS_WRITE = "approvals:write"
USAGE_READ = "usage:read"
ADMIN = "admin"

ALL: tuple[str, ...] = (SESSIONS_READ, SESSIONS_WRITE, APPROVALS_WRITE, USAGE_READ, ADMIN)
DEFAULT: tuple[str, ...] = tuple(scope for scope in ALL if scope != ADMIN)

READING = frozenset({SESSIONS_READ, USAGE_READ})
"""What changes nothing."""

MEANING: dict[str, str] = {
    SESSIONS_READ: "See sessions, messages, runs and events, and follow streams.",
    SESSIONS_WRITE: "Create sessions, send messages, cancel runs, end sessions.",
    APPROVALS_WRITE: "Allow or deny the tools that an agent asks about.",
    USAGE_READ: "Read token and cost sums.",
    ADMIN: "Everything above, for the sessions of every key.",
}


def grants(granted: Iterable[str], needed: str) -> bool:
    """Whether the scopes held include the one needed; `admin` includes all others."""
    held = set(granted)
    return needed in held or ADMIN in held
