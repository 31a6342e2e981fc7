"""The lease on a process's runs, which nothing may hold up."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from claudeapi.core.database import THREADS, close_connections, in_db
from sessions_app import processes, service
from sessions_app.runner import runner

pytestmark = pytest.mark.django_db(transaction=True)


async def test_the_lease_is_renewed_however_long_other_work_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hung, beats, freed = asyncio.Event(), asyncio.Semaphore(0), threading.Event()
    loop, beat = asyncio.get_running_loop(), processes.beat

    async def hang() -> None:
        """Hold every thread that works on the database, and never come back."""
        hung.set()
        await asyncio.gather(*(in_db(freed.wait) for _ in range(THREADS)))
        await asyncio.Event().wait()

    def counted(facts: dict[str, Any]) -> bool:
        loop.call_soon_threadsafe(beats.release)
        return beat(facts)

    monkeypatch.setattr(runner, "_loop", None)
    monkeypatch.setattr(runner, "look_at_all", hang)
    monkeypatch.setattr(processes, "beat", counted)
    monkeypatch.setattr(processes, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.01)
    try:
        await service.start()
        async with asyncio.timeout(20):
            await hung.wait()
            for _ in range(5):
                await beats.acquire()
    finally:
        freed.set()
        await service.stop()
        await close_connections()
