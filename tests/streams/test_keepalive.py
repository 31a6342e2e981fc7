"""A silent stream says every 15 s that it lives; a silent socket is closed in the end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any
from unittest.mock import patch

from sessions_app.hub import Event
from sessions_app.models import Session
from sessions_app.streaming import http, socket, sse
from sessions_app.streaming.http import FollowSession
from sessions_app.streaming.socket import SessionSocket


async def written(steps: Sequence[tuple[float, list[Event]]], *, partial: bool) -> list[bytes]:
    """What a stream writes for batches that come at these times, in seconds."""
    sent: list[bytes] = []
    clock = [0.0]

    async def batches() -> AsyncIterator[list[Event]]:
        for at, batch in steps:
            clock[0] = at
            yield batch

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["body"])

    exchange = FollowSession()
    with (
        patch.object(http, "monotonic", lambda: clock[0]),
        patch.object(FollowSession, "send", staticmethod(send)),
    ):
        await exchange._pump(batches(), partial)
    return sent


def delta(number: int) -> Event:
    return Event(number, "message", "", True, b"{}")


async def test_a_comment_comes_after_each_silence() -> None:
    sent = await written([(0, []), (15, []), (30, []), (31, [])], partial=True)
    assert sent == [b": keepalive\n\n"] * 2


async def test_events_put_it_off() -> None:
    sent = await written([(10, [delta(1)]), (20, []), (25, [])], partial=True)
    assert sent == [delta(1).sse(), sse.KEEPALIVE]


async def test_events_that_are_left_out_do_not() -> None:
    sent = await written([(n, [delta(n)]) for n in range(1, 40)], partial=False)
    assert sent == [sse.KEEPALIVE] * 2


async def test_a_socket_that_is_idle_for_half_an_hour_is_closed() -> None:
    closed, sent = await pumped(events=(600,), looks=(1200, 2399, 2401, 2500))
    assert closed == (4408, "IDLE")
    assert sent == ["connected", "message"], "it ended at the first look past the half hour"


async def test_what_a_client_says_keeps_its_socket_open() -> None:
    closed, _ = await pumped(events=(), looks=(1200, 1801), heard=600)
    assert closed == (1000, "")


async def pumped(
    *, events: Sequence[float], looks: Sequence[float], heard: float = 0
) -> tuple[tuple[int, str], list[str]]:
    """How a socket means to close, and what it sent: an event, or a look at the clock, each so
    many seconds after it opened."""
    sent: list[str] = []
    clock = [0.0]

    async def batches(*_: object) -> AsyncIterator[list[Event]]:
        for at in sorted({*events, *looks}):
            clock[0] = at
            yield [delta(1)] if at in events else []

    async def send(message: dict[str, Any]) -> None:
        sent.append(json.loads(message["text"])["event"])

    async def reached(*_: object) -> bool:
        return False

    with (
        patch.object(socket, "monotonic", lambda: clock[0]),
        patch.object(socket.eventlog, "follow", batches),
        patch.object(socket.Ending, "reached", reached),
        patch.object(SessionSocket, "send", staticmethod(send)),
    ):
        client = SessionSocket()
        client.session = Session()
        client._heard = heard
        await client._pump(0)
    return client._closing, sent
