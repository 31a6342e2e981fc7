"""The live side of the event log: what was said a moment ago, in this process.

A topic keeps the newest events of one session in a bounded ring; a follower only keeps a
number. So followers cost nothing to buffer, however slow they are, and an event is encoded
once, however many follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

MAX_EVENTS = 4096
MAX_BYTES = 2**20
BATCH = 256
LAST_EVENTS = ("complete", "error")


@dataclass(slots=True)
class Event:
    """A numbered entry of a session's log.

    Attributes:
        id: its number; 0 for what is not in the log.
        name: `message`, `approval`, `complete`, `error` or `gap`.
        run_id: hex id of its run, or "".
        partial: a `stream_event`: a delta that `?partial=false` leaves out.
        data: its payload, one line of JSON.
    """

    id: int
    name: str
    run_id: str
    partial: bool
    data: bytes

    def sse(self) -> bytes:
        """As a server-sent event."""
        number = b"id: %d\n" % self.id if self.id else b""
        return b"%bevent: %b\ndata: %b\n\n" % (number, self.name.encode(), self.data)

    def frame(self) -> bytes:
        """As a WebSocket frame."""
        number = b'"id":%d,' % self.id if self.id else b""
        return b'{"event":"%b",%b"data":%b}' % (self.name.encode(), number, self.data)


class Topic:
    """The newest events of one session.

    Attributes:
        written: the highest number known to be in the log.
        told: the highest number known to exist at all, here or in another process.
        calls: how often followers were asked to look up; a follower compares, so that it
            hears also what came while it was busy.
    """

    def __init__(self) -> None:
        self.written = 0
        self.told = 0
        self.calls = 0
        self.followers = 0
        self.writers = 0
        self._events: list[Event] = []
        self._bytes = 0
        self._waiters: set[asyncio.Future[bool]] = set()

    @property
    def first(self) -> int:
        """The oldest number in the ring, or 0 when it is empty."""
        return self._events[0].id if self._events else 0

    def since(self, cursor: int) -> Sequence[Event] | None:
        """Up to `BATCH` events after `cursor`; None when the ring begins later than that."""
        if not self._events:
            return () if cursor >= self.told else None
        offset = cursor + 1 - self._events[0].id
        if offset < 0:
            return None
        return self._events[offset : offset + BATCH]

    def publish(self, events: Sequence[Event]) -> None:
        """Add consecutive events and wake who waits."""
        if not events:
            return
        if self._events and events[0].id != self._events[-1].id + 1:
            self._events.clear()
            self._bytes = 0
        self._events.extend(events)
        for event in events:
            self._bytes += len(event.data)
        self.told = max(self.told, events[-1].id)
        if len(self._events) > MAX_EVENTS or self._bytes > MAX_BYTES:
            self._trim()
        self._wake()

    def mark_written(self, last: int) -> None:
        """The log now holds everything up to `last`."""
        self.written = max(self.written, last)
        self.tell(last)
        self._trim()

    def tell(self, last: int) -> None:
        """Somebody, perhaps another process, has events up to `last`."""
        if last > self.told:
            self.told = last
            self._wake()

    def wake(self) -> None:
        """Let every follower look up: the session is over, the server drains."""
        self.calls += 1
        self._wake()

    def forget(self) -> None:
        """Drop what the log has: nobody writes, and who comes late reads the log."""
        if not self.writers:
            self._trim(0)

    def _wake(self) -> None:
        if self._waiters:
            for waiter in self._waiters:
                _settle(waiter, True)
            self._waiters.clear()

    async def wait(self, seconds: float) -> bool:
        """Wait for news, at most `seconds`. True when there is some."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[bool] = loop.create_future()
        self._waiters.add(waiter)
        # Once for every event and follower: `asyncio.timeout` would cost twice as much.
        timer = loop.call_later(seconds, _settle, waiter, False)
        try:
            return await waiter
        finally:
            timer.cancel()
            self._waiters.discard(waiter)

    def _trim(self, max_events: int = MAX_EVENTS) -> None:
        """Forget the oldest events past the bound, but only such as the log has."""
        drop = 0
        excess_events = len(self._events) - max_events
        while (
            drop < len(self._events)
            and (drop < excess_events or self._bytes > MAX_BYTES)
            and self._events[drop].id <= self.written
        ):
            self._bytes -= len(self._events[drop].data)
            drop += 1
        if drop:
            del self._events[:drop]


def _settle(waiter: asyncio.Future[bool], news: bool) -> None:
    if not waiter.done():
        waiter.set_result(news)


class Hub:
    """The topics of this process. A topic lives while somebody writes or follows.

    Attributes:
        writers: how many write, in all topics together.
    """

    def __init__(self) -> None:
        self._topics: dict[UUID, Topic] = {}
        self.writers = 0

    def get(self, session_id: UUID) -> Topic | None:
        """The topic, if somebody in this process cares for the session."""
        return self._topics.get(session_id)

    def join(self, session_id: UUID, *, writing: bool = False) -> Topic:
        """Take part in a topic; every join needs its `leave`."""
        topic = self._topics.setdefault(session_id, Topic())
        if writing:
            topic.writers += 1
            self.writers += 1
        else:
            topic.followers += 1
        return topic

    def leave(self, session_id: UUID, *, writing: bool = False) -> bool:
        """End one `join`. True when nobody follows the session any more."""
        topic = self._topics[session_id]
        if writing:
            topic.writers -= 1
            self.writers -= 1
        else:
            topic.followers -= 1
        if not topic.writers and not topic.followers:
            del self._topics[session_id]
        return not topic.followers

    @property
    def followers(self) -> int:
        """Streams open in this process."""
        return sum(topic.followers for topic in self._topics.values())

    def followed(self) -> list[UUID]:
        """The sessions somebody follows here."""
        return [session_id for session_id, topic in self._topics.items() if topic.followers]

    async def emptied(self, seconds: float) -> bool:
        """Wait until nobody follows any more, at most `seconds`. False if somebody still does."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self.followers and loop.time() < deadline:  # noqa: ASYNC110 (once, at the very end)
            await asyncio.sleep(0.02)
        return not self.followers

    def wake_all(self) -> None:
        """Let every follower look again: the server drains, or keys have changed."""
        for topic in self._topics.values():
            topic.wake()


hub = Hub()
