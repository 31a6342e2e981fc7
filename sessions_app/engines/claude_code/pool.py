"""The live actors of this process: how many, for how long, and which goes first."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from claudeapi.core.errors import ConcurrencyLimitExceeded
from sessions_app.engines.claude_code import memory
from sessions_app.engines.claude_code.actor import Actor

MEMORY_PER_ACTOR = 200 << 20
"""Bytes that a live session takes after long use."""

_MEMORY_RESERVE = 256 << 20

PATIENCE = 60.0
"""Seconds that a message waits for a process, where all are busy."""

_LOOK_AGAIN = 1.0
"""Seconds between two looks at the memory: nobody tells when there is more of it."""


class Pool:
    """Keeps actors by conversation; one per conversation, ever.

    Args:
        max_live: processes at once; the longest idle makes room for a new one.
        idle_seconds: after which an unused process is ended.
        starts: how many processes may start at the same time.
        patience: seconds to wait for room, where every process is busy.
    """

    def __init__(
        self,
        *,
        max_live: int,
        idle_seconds: float,
        starts: int | None = None,
        patience: float = PATIENCE,
        available: Callable[[], int | None] = memory.available,
    ) -> None:
        self._max_live = max_live
        self._idle_seconds = idle_seconds
        self._available = available
        self._actors: dict[str, Actor] = {}
        self._seats: dict[str, tuple[asyncio.Lock, int]] = {}
        self._reapers: dict[str, asyncio.TimerHandle] = {}
        self._starting = 0
        self._starts = asyncio.Semaphore(starts or os.cpu_count() or 2)
        self._patience = patience
        self._line = asyncio.Lock()
        self._changed = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()

    def get(self, conversation: str) -> Actor | None:
        """The conversation's actor, if it is live."""
        actor = self._actors.get(conversation)
        return actor if actor is not None and actor.alive else None

    def live(self) -> dict[str, Actor]:
        """All live actors by conversation."""
        return {name: actor for name, actor in self._actors.items() if actor.alive}

    @asynccontextmanager
    async def seat(self, conversation: str) -> AsyncIterator[None]:
        """Hold a conversation for one run: whoever comes next waits."""
        lock, holders = self._seats.get(conversation, (asyncio.Lock(), 0))
        self._seats[conversation] = (lock, holders + 1)
        try:
            async with lock:
                self._cancel_reaper(conversation)
                yield
        finally:
            lock, holders = self._seats.pop(conversation)
            if holders > 1:
                self._seats[conversation] = (lock, holders - 1)
            else:
                self._arm_reaper(conversation)
            self._changed.set()

    async def start(self, conversation: str, make: Callable[[], Awaitable[Actor]]) -> Actor:
        """Replace whatever the conversation has by a new actor, once there is room for one.

        Raises:
            ConcurrencyLimitExceeded: every process was busy for too long.
            Unavailable: it cannot be started.
        """
        await self.release(conversation)
        await self._take_room()
        try:
            async with self._starts:
                actor = await make()
        finally:
            self._starting -= 1
            self._changed.set()
        self._actors[conversation] = actor
        return actor

    async def _take_room(self) -> None:
        """Wait for room, in order of arrival, and keep it for a process that starts."""
        try:
            async with asyncio.timeout(self._patience), self._line:
                while not await self._has_room():
                    # A process that ends or falls idle is told of; memory is not.
                    look_again = _LOOK_AGAIN if self._short_of_memory() else None
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(look_again):
                            await self._changed.wait()
                self._starting += 1
        except TimeoutError:
            raise ConcurrencyLimitExceeded(
                "Every agent process of this server is busy.", retry_after=5
            ) from None

    async def _has_room(self) -> bool:
        """Whether there is room for one more; idle processes end to make it."""
        while True:
            self._changed.clear()
            self._forget_dead()
            if not self._full():
                return True
            idle = [
                (actor.used_at, name) for name, actor in self._actors.items() if self._free(name)
            ]
            if not idle:
                return False
            await self.release(min(idle)[1])

    def _full(self) -> bool:
        return len(self._actors) + self._starting >= self._max_live or self._short_of_memory()

    def _short_of_memory(self) -> bool:
        """Whether one more would take what there is not, when those that start have theirs."""
        left = self._available()
        wanted = MEMORY_PER_ACTOR * (self._starting + 1) + _MEMORY_RESERVE
        return left is not None and left < wanted

    def _free(self, conversation: str) -> bool:
        return conversation not in self._seats

    def _forget_dead(self) -> None:
        for name, actor in tuple(self._actors.items()):
            if not actor.alive and self._free(name):
                self._drop(name, actor)

    def _arm_reaper(self, conversation: str) -> None:
        actor = self._actors.get(conversation)
        if actor is None:
            return
        if not actor.alive:
            self._drop(conversation, actor)
            return
        loop = asyncio.get_running_loop()
        self._reapers[conversation] = loop.call_later(self._idle_seconds, self._reap, conversation)

    def _cancel_reaper(self, conversation: str) -> None:
        handle = self._reapers.pop(conversation, None)
        if handle is not None:
            handle.cancel()

    def _reap(self, conversation: str) -> None:
        self._reapers.pop(conversation, None)
        actor = self._actors.get(conversation)
        if actor is not None and self._free(conversation):
            self._drop(conversation, actor)

    def _drop(self, conversation: str, actor: Actor) -> asyncio.Task[None]:
        """Close an actor in the background; a new one of its conversation waits for that."""
        self._actors.pop(conversation, None)
        self._cancel_reaper(conversation)
        task = asyncio.create_task(actor.close(), name=f"close {conversation}")
        self._closing.add(task)
        task.add_done_callback(self._closed)
        self._changed.set()
        return task

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        self._changed.set()

    async def release(self, conversation: str) -> None:
        """End the conversation's process, a run in progress or not, and wait until it is gone."""
        actor = self._actors.get(conversation)
        if actor is not None:
            self._drop(conversation, actor)
        ending = {task for task in self._closing if task.get_name() == f"close {conversation}"}
        if ending:
            await asyncio.wait(ending)

    async def aclose(self) -> None:
        """End every process."""
        for name, actor in tuple(self._actors.items()):
            self._drop(name, actor)
        while self._closing:
            with contextlib.suppress(Exception):
                await asyncio.wait(self._closing)
