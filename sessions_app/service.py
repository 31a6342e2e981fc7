"""What this app does in a server process by itself: heartbeat, sweeps, draining."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog
from django.core.cache import cache

from claudeapi.conf import options
from claudeapi.core import health
from claudeapi.core.database import in_db, in_db_urgently
from claudeapi.core.lifecycle import state
from claudeapi.core.process import PROCESS_ID
from keys_app import holdings
from sessions_app import (
    agents,
    cleanup,
    facts,
    metrics,
    processes,
    queued,
    recovery,
    remains,
    stats,
    switch,
)
from sessions_app.doorbell import doorbell
from sessions_app.engines import registry
from sessions_app.hub import hub
from sessions_app.runner import runner
from sessions_app.streaming.watch import watch_keys

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
RECOVER_SECONDS = 5.0
CLEAN_UP_SECONDS = 60.0
SWEEP_SECONDS = 3600.0
GOODBYE_SECONDS = 2.0

_tasks: set[asyncio.Task[None]] = set()


def register() -> None:
    """Take part in this process's start, drain and stop."""
    agents.provide_engines()
    holdings.register(stats.held_by)
    health.register("service", switch.health, gates=False)
    state.on_startup(start)
    state.on_drain(drain)
    state.on_shutdown(stop)


async def start() -> None:
    """Say that we live, end what earlier processes left behind, and keep at it."""
    metrics.begin(registry.names())
    await in_db(_write_beat, facts.held())
    runner.start()
    await _recover()
    _every(processes.HEARTBEAT_SECONDS, _beat)
    _every(LOOK_SECONDS, _look)
    _every(RECOVER_SECONDS, _recover)
    _every(CLEAN_UP_SECONDS, _clean_up)
    _every(SWEEP_SECONDS, _sweep)
    _spawn(watch_keys())


async def drain() -> None:
    """Let runs finish within DRAIN_TIMEOUT, tell all followers, and see them off."""
    # Shielded: whoever bounds the drain by the same time must not keep late runs from being
    # cancelled and their clients from being told.
    await asyncio.shield(_spawn(_drain()))


async def _drain() -> None:
    await in_db(processes.take_no_more)
    hub.wake_all()
    await runner.drain(options().drain_timeout)
    hub.wake_all()
    await hub.emptied(GOODBYE_SECONDS)


async def stop() -> None:
    """Free what is held."""
    for task in _tasks:
        task.cancel()
    doorbell.stop()
    # The drain may have run out of time just as it cancelled what was late.
    await runner.drain(0)
    await registry.aclose()
    await in_db(processes.sign_off)


async def _beat() -> None:
    """Renew the lease, and nothing else: work that takes long would cost every run of ours."""
    held_on = await in_db_urgently(_write_beat, facts.held())
    if not held_on:
        log.warning("lease_lost")
        runner.look_at_agents()


async def _look() -> None:
    """See what a lost bell would have told, and what takes no bell."""
    await in_db(queued.stop_for_revoked_keys)
    await in_db(queued.time_out_late)
    await runner.look_at_all()
    await runner.recover_undriven()
    for session_id in await in_db(queued.waiting_here):  # a bell may have been lost
        runner.advance(session_id)


def _write_beat(held: dict[str, Any]) -> bool:
    return processes.beat(facts.with_memory(held))


async def _recover() -> None:
    runner.recovered(*await in_db(recovery.recover))


async def _clean_up() -> None:
    # One process at a time is enough; more would do no harm.
    if await in_db(cache.add, "claudeapi.cleanup", PROCESS_ID, CLEAN_UP_SECONDS - 1):
        report = await in_db(cleanup.clean_up)
        if report.expired or report.removed:
            log.info("cleaned_up", expired=report.expired, removed=report.removed)


async def _sweep() -> None:
    await in_db(remains.sweep)


def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    _spawn(_repeat(seconds, work))


async def _repeat(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception:
            log.exception("background_work_failed", work=work.__name__)


def _spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    loop = asyncio.get_running_loop()
    task = loop.create_task(work, context=contextvars.Context())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
    return task
