"""Turns for an engine's tests."""

from __future__ import annotations

from sessions_app.engines.base import Turn, Upstream
from tests.engines.conformance import MakeTurn


def turn_maker(upstream: Upstream) -> MakeTurn:
    """A function that makes turns against this upstream."""

    def make(prompt: str, idle_timeout: float | None = None, **fields: object) -> Turn:
        aim = upstream
        if idle_timeout is not None:
            aim = Upstream(upstream.base_url, upstream.api_key, idle_timeout)
        defaults: dict[str, object] = {
            "run_id": "run-1",
            "session_id": "session-1",
            "key_id": "alice",
            "prompt": [{"type": "text", "text": prompt}],
            "model": "sonnet",
            "upstream": aim,
        }
        return Turn(**(defaults | fields))  # type: ignore[arg-type]

    return make
