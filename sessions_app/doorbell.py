"""Tells other processes to look: at a session's log, at a run, at their keys.

A bell carries numbers, never content: content is read from the log. With one process there
is nobody to tell and the null object is in place; with several it goes over the channel
layer (Redis), one group a session, one a process.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast
from uuid import UUID

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.utils.functional import SimpleLazyObject

from claudeapi.conf import options
from claudeapi.core.process import PROCESS_ID
from sessions_app.hub import hub

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0
SEND_SECONDS = 2.0  # that a bell may take: a layer that hangs must not hold up a run

Handler = Callable[[UUID], None]
"""Hears of a run or a session by its id."""


class Doorbell:
    """For a single process: nobody else is there to hear it."""

    def ring(self, session_id: UUID, last: int) -> None:
        """The session has events up to `last`. In the event loop; waits for nobody."""

    async def watch(self, session_id: UUID) -> None:
        """Hear of this session's events."""

    async def unwatch(self, session_id: UUID) -> None:
        """Hear no more of them."""

    def call(self, process_id: str, run_id: UUID) -> None:
        """Ask another process to look at one of its runs. From a thread."""

    def hand_over(self, process_id: str, session_id: UUID) -> None:
        """Ask another process to drive a session's queued runs. From a thread."""

    def look_at(self, process_id: str, session_id: UUID) -> None:
        """Tell another process that a session whose agent it may hold has changed."""

    def announce_end(self, session_id: UUID) -> None:
        """Tell other processes that the session is over. From a thread."""

    def start(self, on_run: Handler, on_session: Handler, on_change: Handler) -> None:
        """Begin to hear bells."""

    def stop(self) -> None:
        """Hear no more."""


class LayerDoorbell(Doorbell):
    """Over the channel layer."""

    def __init__(self) -> None:
        self._layer: Any = get_channel_layer()
        self._channel = ""
        self._ready = asyncio.Event()
        self._due: dict[UUID, int] = {}
        self._ringing: asyncio.Task[None] | None = None
        self._listening: asyncio.Task[None] | None = None

    def ring(self, session_id: UUID, last: int) -> None:
        """The session has events up to `last`. A lost bell costs seconds, never an event."""
        self._due[session_id] = max(last, self._due.get(session_id, 0))
        if self._ringing is None or self._ringing.done():
            self._ringing = _task(self._ring_all())

    async def _ring_all(self) -> None:
        """Ring what is due, the newest number of each session, one after the other."""
        while self._due:
            session_id, last = self._due.popitem()
            bell = {"type": "events", "session": session_id.hex, "last": last}
            await self._bounded(self._layer.group_send(_session(session_id), bell))

    async def watch(self, session_id: UUID) -> None:
        """Hear of this session's events; without the layer, the sweep finds them."""
        if self._ready.is_set():
            await self._bounded(self._layer.group_add(_session(session_id), self._channel))

    async def unwatch(self, session_id: UUID) -> None:
        """Hear no more of them."""
        if self._ready.is_set():
            await self._bounded(self._layer.group_discard(_session(session_id), self._channel))

    def call(self, process_id: str, run_id: UUID) -> None:
        """Ask another process to look at one of its runs. From a thread."""
        self._send(_process(process_id), {"type": "look", "run": run_id.hex})

    def hand_over(self, process_id: str, session_id: UUID) -> None:
        """Ask another process to drive a session's queued runs. From a thread."""
        self._send(_process(process_id), {"type": "advance", "session": session_id.hex})

    def look_at(self, process_id: str, session_id: UUID) -> None:
        """Tell another process that a session whose agent it may hold has changed."""
        self._send(_process(process_id), {"type": "changed", "session": session_id.hex})

    def announce_end(self, session_id: UUID) -> None:
        """Tell other processes that the session is over. From a thread."""
        self._send(_session(session_id), {"type": "over", "session": session_id.hex})

    def _send(self, group: str, bell: dict[str, Any]) -> None:
        """Ring after the commit: what is done is done, and its owner looks by itself soon."""
        async_to_sync(self._send_bounded)(group, bell)

    async def _send_bounded(self, group: str, bell: dict[str, Any]) -> None:
        await self._bounded(self._layer.group_send(group, bell))

    async def _bounded(self, work: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await work
        except Exception:
            log.exception("doorbell_failed")

    def start(self, on_run: Handler, on_session: Handler, on_change: Handler) -> None:
        """Begin to hear bells."""
        self._listening = _task(self._listen(on_run, on_session, on_change))

    def stop(self) -> None:
        """Hear no more."""
        for task in (self._listening, self._ringing):
            if task is not None:
                task.cancel()

    async def _listen(self, on_run: Handler, on_session: Handler, on_change: Handler) -> None:
        """Hear bells until cancelled, also over a channel layer that was away for a while."""
        while True:
            try:
                await self._hear(on_run, on_session, on_change)
            except Exception:
                log.exception("doorbell_not_heard")
                self._ready.clear()
                await asyncio.sleep(RETRY_SECONDS)

    async def _hear(self, on_run: Handler, on_session: Handler, on_change: Handler) -> None:
        self._channel = await self._layer.new_channel()
        await self._layer.group_add(_process(PROCESS_ID), self._channel)
        self._ready.set()
        for session_id in hub.followed():
            await self.watch(session_id)
        while True:
            bell = await self._layer.receive(self._channel)
            if bell["type"] == "look":
                on_run(UUID(bell["run"]))
            elif bell["type"] == "advance":
                on_session(UUID(bell["session"]))
            elif bell["type"] == "changed":
                on_change(UUID(bell["session"]))
            elif topic := hub.get(UUID(bell["session"])):
                if bell["type"] == "over":
                    topic.wake()
                else:
                    topic.tell(bell["last"])


def _session(session_id: UUID) -> str:
    return f"session.{session_id.hex}"


def _process(process_id: str) -> str:
    return f"process.{process_id}"


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    # A clean context: a request's context would keep its database handles alive.
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())


def _made() -> Doorbell:
    return LayerDoorbell() if options().redis_url else Doorbell()


doorbell = cast("Doorbell", SimpleLazyObject(_made))  # settings are not read at import
