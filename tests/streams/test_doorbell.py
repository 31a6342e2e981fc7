"""A channel layer that hangs costs bells, and holds nobody up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from django.test import override_settings

from sessions_app import doorbell
from sessions_app.doorbell import LayerDoorbell


@pytest.fixture
async def bell() -> AsyncIterator[LayerDoorbell]:
    """Over a Redis that takes connections and says nothing."""

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(2**16):
            pass
        writer.close()

    server = await asyncio.start_server(silence, "127.0.0.1", 0)
    url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    layer = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [url]},
    }
    with override_settings(CHANNEL_LAYERS={"default": layer}):
        made = LayerDoorbell()
        yield made
        made.stop()
    server.close()


async def test_ringing_waits_for_nobody_and_keeps_the_newest_number(bell: LayerDoorbell) -> None:
    session, started = uuid4(), time.monotonic()
    for last in (3, 1, 7, 5):
        bell.ring(session, last)
    assert time.monotonic() - started < 1.0
    assert bell._due == {session: 7}


async def test_calling_another_process_takes_a_bounded_time(bell: LayerDoorbell) -> None:
    async with asyncio.timeout(doorbell.SEND_SECONDS * 4):
        await asyncio.to_thread(bell.call, "another", uuid4())
        bell._ready.set()
        await bell.watch(uuid4())
