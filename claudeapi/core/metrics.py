"""Prometheus metrics, named `claudeapi_*`: those of requests, and how others add theirs.

Several workers share files in `PROMETHEUS_MULTIPROC_DIR`, which the server sets before they
start: whichever is asked answers for all.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST
MULTIPROCESS_DIR = "PROMETHEUS_MULTIPROC_DIR"

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WEBSOCKET"})
_PARAMETER = re.compile(r"\(\?P<(\w+)>[^()]*\)|<(?:\w+:)?(\w+)>")
_SYNTAX = re.compile(r"/\?|[\^$]")

OTHER = "other"
"""The route of whatever matched none: a client can think of any number of paths."""

requests = Counter("claudeapi_requests", "Requests answered.", ("route", "method", "status"))
request_seconds = Histogram(
    "claudeapi_request_seconds",
    "Time from a request to the end of its answer; streams take as long as they last.",
    ("route", "method"),
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
)


@lru_cache(maxsize=1024)
def route(pattern: str) -> str:
    """A URL pattern of Django's as a label: `/api/v1/sessions/{session_id}`."""
    if pattern.startswith("admin/"):
        return "/admin/"
    named = _PARAMETER.sub(lambda found: f"{{{found[1] or found[2]}}}", pattern)
    return "/" + _SYNTAX.sub("", named).strip("/")


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count one request that was answered."""
    method = method if method in _METHODS else "OTHER"
    requests.labels(route, method, str(status)).inc()
    request_seconds.labels(route, method).observe(seconds)


def exposition() -> bytes:
    """All metrics as Prometheus reads them."""
    if not os.environ.get(MULTIPROCESS_DIR):
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
