"""What happened, for tests: who asked what and when, and how it ended. In bounded memory."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from simulator.wire import presented_key

_ENTRIES = 500
"""Requests that are kept."""

_BODY_BYTES = 32 * 1024 * 1024
"""Bytes of request bodies that are kept; the oldest bodies go first."""

_SECRET_HEADERS = frozenset({"x-api-key", "authorization", "proxy-authorization", "cookie"})
_DIGEST_CHARACTERS = 16


def key_digest(key: str) -> str:
    """The start of the SHA-256 of a key: enough to tell keys apart, no use to anyone else."""
    return hashlib.sha256(key.encode()).hexdigest()[:_DIGEST_CHARACTERS]


@dataclass(slots=True)
class Entry:
    """One request. Wall times are Unix seconds; monotonic ones are ``CLOCK_MONOTONIC`` seconds,
    which every process on the machine shares.

    ``outcome``: ``in_flight``; ``completed``; ``refused`` (a status from 400 on); ``cut`` and
    ``midstream_error`` (faults that were asked for); ``cancelled`` (the client left).
    """

    seq: int
    request_id: str
    method: str
    path: str
    headers: dict[str, str]
    received_at: float = field(default_factory=time.time)
    received_monotonic: float = field(default_factory=time.monotonic)
    credential: str | None = None
    key_sha256: str | None = None
    body: bytes | None = None
    status: int | None = None
    deltas_sent: int = 0
    outcome: str = "in_flight"
    ended_at: float | None = None
    ended_monotonic: float | None = None

    def view(self) -> dict[str, Any]:
        """The entry as JSON, the body decoded."""
        return {
            "seq": self.seq,
            "request_id": self.request_id,
            "method": self.method,
            "path": self.path,
            "headers": self.headers,
            "credential": self.credential,
            "key_sha256": self.key_sha256,
            "received_at": _iso(self.received_at),
            "received_monotonic": self.received_monotonic,
            "ended_at": _iso(self.ended_at) if self.ended_at else None,
            "ended_monotonic": self.ended_monotonic,
            "status": self.status,
            "outcome": self.outcome,
            "deltas_sent": self.deltas_sent,
            "body": _decoded(self.body),
        }


class Journal:
    """The latest requests, and counts of all of them."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._outcomes: Counter[str] = Counter()
        self._in_flight = 0
        self._most_in_flight = 0
        self._seq = 0
        self._body_bytes = 0

    def begin(self, method: str, path: str, headers: dict[str, str], request_id: str) -> Entry:
        """Note a request at its arrival, without its secrets."""
        self._seq += 1
        public = {name: value for name, value in headers.items() if name not in _SECRET_HEADERS}
        entry = Entry(self._seq, request_id, method, path, public)
        credential, key = presented_key(headers)
        if key:
            entry.credential, entry.key_sha256 = credential, key_digest(key)
        self._entries.append(entry)
        if len(self._entries) > _ENTRIES:
            self._forget_body(self._entries.popleft())
        self._in_flight += 1
        self._most_in_flight = max(self._most_in_flight, self._in_flight)
        return entry

    def keep_body(self, entry: Entry, body: bytes) -> None:
        """Keep the body of ``entry``, if need be instead of older ones."""
        if len(body) > _BODY_BYTES:
            return
        entry.body = body
        self._body_bytes += len(body)
        for older in self._entries:
            if self._body_bytes <= _BODY_BYTES:
                break
            self._forget_body(older)

    def end(self, entry: Entry, outcome: str) -> None:
        """Note how a request ended, unless a fault has said so already."""
        if entry.outcome == "in_flight":
            entry.outcome = outcome
        entry.ended_at, entry.ended_monotonic = time.time(), time.monotonic()
        self._in_flight -= 1
        self._outcomes[entry.outcome] += 1

    def entries(self, *, limit: int, after: int) -> list[dict[str, Any]]:
        """The latest entries, oldest first, with ``seq`` greater than ``after``."""
        newer = [entry for entry in self._entries if entry.seq > after]
        return [entry.view() for entry in newer[-limit:]]

    def stats(self) -> dict[str, Any]:
        """Counts since the start or the last ``clear``."""
        return {
            "total": self._in_flight + self._outcomes.total(),
            "in_flight": self._in_flight,
            "most_in_flight": self._most_in_flight,
            "completed": self._outcomes["completed"],
            "refused": self._outcomes["refused"],
            "cancelled": self._outcomes["cancelled"],
            "cut": self._outcomes["cut"],
            "midstream_error": self._outcomes["midstream_error"],
            "monotonic": time.monotonic(),
        }

    def clear(self) -> None:
        """Forget the ended requests and all counts; what is in flight stays."""
        self._entries = deque(entry for entry in self._entries if entry.outcome == "in_flight")
        self._body_bytes = sum(len(entry.body or b"") for entry in self._entries)
        self._outcomes.clear()
        self._most_in_flight = self._in_flight

    def _forget_body(self, entry: Entry) -> None:
        self._body_bytes -= len(entry.body or b"")
        entry.body = None


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _decoded(body: bytes | None) -> Any:
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")
