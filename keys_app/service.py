"""What this app does in a server process by itself: rows for the environment's keys, listening."""

from __future__ import annotations

import asyncio
import contextvars

import structlog

from claudeapi.core.database import in_db
from claudeapi.core.lifecycle import state
from keys_app.announce import listen
from keys_app.environment import sync_environment_keys

log = structlog.get_logger(__name__)

_tasks: set[asyncio.Task[None]] = set()


def register() -> None:
    """Take part in this process's start and stop."""
    state.on_startup(start)
    state.on_shutdown(stop)


async def start() -> None:
    """Make the rows of the environment's keys, and hear of changes made elsewhere."""
    await in_db(sync_environment_keys)
    task = asyncio.get_running_loop().create_task(listen(), context=contextvars.Context())
    _tasks.add(task)
    task.add_done_callback(_ended)


async def stop() -> None:
    """Stop listening."""
    tasks = list(_tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _ended(task: asyncio.Task[None]) -> None:
    _tasks.discard(task)
    if not task.cancelled() and (error := task.exception()):
        log.error("key_listener_died", exc_info=error)
