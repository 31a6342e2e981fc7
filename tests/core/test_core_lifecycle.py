"""Start, drain and stop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from claudeapi.core.lifecycle import Lifecycle, Lifespan


def noted(calls: list[str], word: str, *, fails: bool = False) -> Any:
    async def call() -> None:
        calls.append(word)
        if fails:
            raise RuntimeError(word)

    return call


async def test_the_start_is_in_order_and_once_and_the_stop_in_reverse() -> None:
    state, calls = Lifecycle(), []
    for word in ("a", "b"):
        state.on_startup(noted(calls, f"start {word}"))
        state.on_shutdown(noted(calls, f"stop {word}", fails=word == "b"))
    await asyncio.gather(state.start(), state.start())
    assert calls == ["start a", "start b"]
    await state.stop()
    assert calls[2:] == ["stop b", "stop a"]
    assert state.draining


async def test_a_drain_waits_for_those_in_progress_but_not_for_ever() -> None:
    state = Lifecycle()
    finished = asyncio.Event()
    state.on_drain(finished.wait)
    draining = asyncio.create_task(state.drain(30))
    await asyncio.sleep(0)
    assert state.draining
    assert not draining.done()
    finished.set()
    await asyncio.wait_for(draining, 5)

    state.on_drain(asyncio.Event().wait)
    await asyncio.wait_for(state.drain(0.01), 5)


async def test_without_a_lifespan_the_first_request_starts() -> None:
    state, calls = Lifecycle(), []
    state.on_startup(noted(calls, "start"))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        calls.append("request")

    wrapped = Lifespan(app, state)
    await wrapped({"type": "http"}, None, None)  # type: ignore[arg-type]
    await wrapped({"type": "http"}, None, None)  # type: ignore[arg-type]
    assert calls == ["start", "request", "request"]


@pytest.mark.parametrize("fails", [False, True])
async def test_the_lifespan_of_the_server_starts_and_stops(fails: bool) -> None:
    state, calls, sent = Lifecycle(), [], []
    state.on_startup(noted(calls, "start", fails=fails))
    state.on_shutdown(noted(calls, "stop"))
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await Lifespan(None, state)({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]
    if fails:
        assert sent == ["lifespan.startup.failed"]
    else:
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert calls == ["start", "stop"]
