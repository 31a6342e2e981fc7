"""The lease on a process's runs, which nothing may hold up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from claudeapi.core.database import close_connections
from sessions_app import processes, service
from sessions_app.runner import runner

pytestmark = pytest.mark.django_db(transaction=True)


async def test_the_lease_is_renewed_however_long_other_work_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hung, beats = asyncio.Event(), asyncio.Semaphore(0)
    loop, beat = asyncio.get_running_loop(), processes.beat

    async def hang() -> None:
        hung.set()
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
        await service.stop()
        await close_connections()
