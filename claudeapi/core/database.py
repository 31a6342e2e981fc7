"""Database work of async code: a few long-lived threads, each with a connection of its own.

A thread per request holds a connection as long as its response lasts, and the async ORM in
a long-lived consumer never reaps a dead connection. These threads do neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from threading import Barrier
from typing import ParamSpec, TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

THREADS = 4
RETRY_SECONDS = 0.5

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="db")
_thread_of_its_own = ThreadPoolExecutor(1, thread_name_prefix="db-urgent")


async def in_db(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a sync function that uses the database, without blocking the event loop.

    It sees the caller's context variables. A caller that is cancelled stops waiting; the
    function itself runs to its end, so a transaction is never left half done.
    """
    return await _run_in(_threads, partial(fn, *args, **kwargs))


async def in_db_urgently(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """As `in_db`, but not behind what waits for the threads of all: for what keeps a lease."""
    return await _run_in(_thread_of_its_own, partial(fn, *args, **kwargs))


async def _run_in(threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    context = copy_context()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(threads, lambda: context.run(_with_recycling, call))


async def waiting_out(seconds: float, work: Callable[[], Awaitable[T]]) -> T:
    """What `work` gives, done again and again while the database is in trouble.

    After so many seconds the trouble is raised. It must be work that can be done twice.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        try:
            return await work()
        except (OperationalError, InterfaceError):
            if loop.time() > deadline:
                raise
            log.warning("database_waited_for", exc_info=True)
            await asyncio.sleep(RETRY_SECONDS)


def _with_recycling(call: Callable[[], T]) -> T:
    try:
        return call()
    finally:
        recycle_connections()


def recycle_connections() -> None:
    """Leave this thread's connections fit for the next call, or closed."""
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "sqlite" and _is_fit(connection):
            continue
        # With PostgreSQL's pool this hands the connection back.
        connection.close()


def _is_fit(connection: BaseDatabaseWrapper) -> bool:
    """Whether a SQLite connection can be kept open: opening one costs more than a query."""
    if connection.connection is None:
        return True
    if connection.in_atomic_block or not connection.get_autocommit():
        return False
    if connection.errors_occurred and not connection.is_usable():
        return False
    connection.errors_occurred = False
    return True


async def close_connections() -> None:
    """Close the connections that idle threads keep: for a server's end, and for tests."""
    together = Barrier(THREADS)

    def close() -> None:
        # No thread takes a second turn before each has had its first.
        together.wait()
        connections.close_all()

    await asyncio.gather(*(in_db(close) for _ in range(THREADS)))
    await in_db_urgently(connections.close_all)
