"""The way into the event log: what a run says, live at once, and in rows a moment later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from claudeapi.core.database import in_db, waiting_out
from sessions_app.doorbell import doorbell
from sessions_app.eventlog import RESERVE, LostOwnership, flush, last_event_id
from sessions_app.hub import Event, hub
from sessions_app.models import Message

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 0.25
# A write costs about a millisecond of CPU. Where many runs write at once each writes less
# often, so that their sum stays a small part of a core.
FLUSHES_PER_SECOND = 100
MAX_FLUSH_SECONDS = 1.0
MAX_RESERVE = 16_384
PENDING_BYTES = 2 * 2**20
TROUBLE_SECONDS = 60.0

Act = Callable[[], None]
"""What goes into the transaction that writes an event; it may be called twice."""

WriteEnd = Callable[[Sequence[Event], Sequence[Message], Sequence[Act]], Event]


def flush_seconds(writers: int) -> float:
    """How long each of so many writers of this process lets events wait to be written."""
    return min(max(FLUSH_SECONDS, writers / FLUSHES_PER_SECOND), MAX_FLUSH_SECONDS)


class LogWriter:
    """Appends the events of one run, live at once, to the database in chunks.

    Made with the numbers `acquire` returned. Used from one event loop.
    """

    def __init__(self, session_id: UUID, run_id: UUID, start: int, limit: int) -> None:
        self.session_id = session_id
        self.run_id = run_id
        self._next = start
        self._limit = limit
        self._block = RESERVE
        self._topic = hub.join(session_id, writing=True)
        self._pending: list[Event] = []
        self._messages: list[Message] = []
        self._acts: list[Act] = []
        self._pending_bytes = 0
        self._unpublished: list[Event] = []
        self._holds = 0
        self._lost = False
        self._flushing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._last_flush = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def last(self) -> int:
        """The highest number given out."""
        return self._next - 1

    @property
    def is_full(self) -> bool:
        """Whether `number` has to wait: there is always room for two."""
        return self._lost or self._next >= self._limit or self._pending_bytes > PENDING_BYTES

    async def number(self) -> int:
        """The number of the next event, waiting where the log can't keep up.

        It, and the one after it, must be used in an `append` before anything else is awaited.

        Raises:
            LostOwnership: another process has taken the run over.
        """
        if self.is_full:
            await self.flush()
        return self._next

    def append(self, event: Event, message: Message | None = None) -> None:
        """Take in an event and show it to followers, in order, without waiting."""
        self._next = event.id + 1
        self._pending.append(event)
        self._pending_bytes += len(event.data)
        if message is not None:
            self._messages.append(message)
        if self._holds or self._unpublished:
            self._unpublished.append(event)
        else:
            self._topic.publish((event,))
        if self._timer is None and self._task is None:
            self._schedule()

    async def append_durably(
        self, event: Event, message: Message | None = None, act: Act | None = None
    ) -> None:
        """Take in an event that is written before any follower sees it."""
        self._holds += 1
        try:
            self.append(event, message)
            if act is not None:
                self._acts.append(act)
            await self.flush()
        finally:
            self._holds -= 1
        self._publish_held(event.id)

    async def flush(self) -> None:
        """Write what is pending and reserve further numbers, waiting out a database in trouble.

        A caller that is cancelled stops waiting; the write itself goes through.

        Raises:
            LostOwnership: another process has taken the run over.
        """
        await waiting_out(
            TROUBLE_SECONDS, lambda: asyncio.shield(asyncio.ensure_future(self._flush()))
        )

    async def _flush(self) -> None:
        async with self._flushing:
            if not (self._pending or self.is_full):
                return  # another flush was first
            events, messages, acts = self._pending, self._messages, self._acts
            self._pending, self._messages, self._acts, self._pending_bytes = [], [], [], 0
            if self._limit - self.last < self._block // 2:
                self._block = min(self._block * 2, MAX_RESERVE)
            limit = max(self._limit, self.last + self._block)
            try:
                await in_db(flush, self.session_id, self.run_id, events, messages, limit, acts)
            except Exception as exc:
                self._lost = isinstance(exc, LostOwnership)
                self._pending[:0] = events
                self._messages[:0] = messages
                self._acts[:0] = acts
                self._pending_bytes += sum(len(event.data) for event in events)
                raise
            self._limit = limit
            self._last_flush = asyncio.get_running_loop().time()
            if events:
                self._publish_held(events[-1].id)
                self._topic.mark_written(events[-1].id)
        if events:
            doorbell.ring(self.session_id, events[-1].id)

    def _publish_held(self, written: int) -> None:
        """Show what was held back and is written; when nothing more is held, all of it."""
        held = self._unpublished
        ready = held if not self._holds else [event for event in held if event.id <= written]
        self._unpublished = held[len(ready) :]
        self._topic.publish(ready)

    async def conclude(self, write: WriteEnd) -> None:
        """End the run's part of the log.

        `write` gets what is still pending, acts included, runs in a database thread in one
        transaction with whatever else ends the run, and returns the run's last event, which is
        shown once it is written.
        """
        async with self._flushing:
            self._cancel_timer()
            last = await in_db(write, self._pending, self._messages, self._acts)
            self._pending, self._messages, self._acts, self._pending_bytes = [], [], [], 0
            self._next = last.id + 1
            self._topic.publish([*self._unpublished, last])
            self._unpublished = []
            self._topic.mark_written(last.id)
        doorbell.ring(self.session_id, last.id)

    async def give_up(self) -> None:
        """Somebody else has ended the run: followers read its end from the log."""
        self._topic.tell(await in_db(last_event_id, self.session_id))

    def close(self) -> None:
        """Let go of the topic, whatever became of the run."""
        self._cancel_timer()
        hub.leave(self.session_id, writing=True)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self) -> None:
        loop = asyncio.get_running_loop()
        due = max(loop.time(), self._last_flush + flush_seconds(hub.writers))
        self._timer = loop.call_at(due, self._start_flush)

    def _start_flush(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._flush_in_background())

    async def _flush_in_background(self) -> None:
        try:
            await self.flush()
        except LostOwnership:
            return  # the runner hears it at its next append
        except Exception:
            # The database may be back in a moment; what is pending stays, bounded by `number`.
            log.exception("event_flush_failed", session=str(self.session_id))
            self._last_flush = asyncio.get_running_loop().time()
        finally:
            self._task = None
        if self._pending and self._timer is None:
            self._schedule()
