"""What many and slow clients cost the server."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path
from uuid import UUID

import pytest

from simulator.testing import Probe
from tests.server_process import ALICE, ServerProcess
from tests.streams.client import LAST, Api, assert_contiguous, numbered

pytestmark = pytest.mark.slow

MIB = 2**20
SLOW_CLIENTS = 5
# Kept for them, what they do not read would be 175 MB; the rest is the allocator's own growth.
ALLOWED_GROWTH = 40 * MIB


def resident(server: ServerProcess) -> int:
    """Bytes of memory the server process holds."""
    pages = Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]
    return int(pages) * 4096


def held(server: ServerProcess) -> tuple[int, int]:
    """Its open files and threads."""
    folder = Path(f"/proc/{server.process.pid}")
    return len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir()))


def never_reading(api: Api, session: str) -> socket.socket:
    """A client that asks for the stream and never reads a byte of it."""
    host, _, port = api.url.removeprefix("http://").partition(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    client.sendall(
        f"GET /api/v1/sessions/{session}/stream?after=0 HTTP/1.1\r\n"
        f"Host: {host}\r\nx-api-key: {ALICE}\r\n\r\n".encode()
    )
    return client


async def test_clients_that_never_read_do_not_grow_the_servers_memory(
    api: Api, server: ServerProcess
) -> None:
    async def bursts(slow_clients: int) -> int:
        """Stream some 35 MB to one client that reads; the most memory held meanwhile."""
        session, most = await api.session(), 0
        with ExitStack() as stack:
            for _ in range(slow_clients):
                stack.enter_context(never_reading(api, session))
            async with api.stream(session) as reader:
                for _ in range(5):
                    run = await api.start(session, "[[sim burst n=20000]]")
                    await reader.until(lambda event: event.name in LAST)
                    await api.ended(session, run)
                    most = max(most, resident(server))
        events = numbered(reader.seen)
        assert_contiguous(events, events[0].id or 0)
        assert len(reader.raw) > 25 * MIB
        return most

    # Twice, since the first time fills the allocator's arenas.
    alone = max([await bursts(0) for _ in range(2)])
    crowded = await bursts(SLOW_CLIENTS)
    assert crowded - alone < ALLOWED_GROWTH, f"{(crowded - alone) / MIB:.0f} MiB"


async def test_three_hundred_streams_leave_nothing_open(api: Api, server: ServerProcess) -> None:
    sessions = await asyncio.gather(*(api.session() for _ in range(20)))
    await asyncio.gather(*(api.send(session, "hello") for session in sessions))

    async def one(session: str) -> None:
        async with api.stream(session, after=0) as stream:
            await stream.until(lambda event: event.name in LAST)

    await asyncio.gather(*(one(session) for session in sessions))
    files, threads = held(server)
    for _ in range(15):
        await asyncio.gather(*(one(session) for session in sessions))

    async def counts() -> tuple[int, int]:
        async with api.http.get(f"{api.url}/livez"):
            return held(server)

    # Connections of the pool come and go; database handles and threads must not grow.
    await api.eventually(counts, lambda now: now[0] <= files + 5 and now[1] <= threads, seconds=20)


async def test_a_database_locked_for_seconds_loses_nothing(
    api: Api, server: ServerProcess, probe: Probe
) -> None:
    session = await api.session()
    async with api.post_stream(session, "[[sim slow n=60 delay=20ms]]") as stream:
        await stream.take(10)
        path = Path(server.env["DATA_DIR"]) / "db.sqlite3"
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            locked = time.monotonic()
            live = await stream.take(50)
            assert time.monotonic() - locked < 10
            # The reply ends meanwhile; its end can't be written, so it isn't told.
            await probe.until(lambda stats: stats["in_flight"] == 0)
            assert {event.name for event in stream.seen} & set(LAST) == set()
            ours = "SELECT status FROM sessions_app_run WHERE session_id = ?"
            assert other.execute(ours, [UUID(session).hex]).fetchall() == [("running",)]
            other.execute("ROLLBACK")
        events = numbered(await stream.all())
    assert events[-1].name == "complete"
    assert len(live) >= 50
    assert_contiguous(events, 1)
    log = await api.log(session)
    assert [(e["id"], e["data"]) for e in log] == [(e.id, e.data) for e in events]
