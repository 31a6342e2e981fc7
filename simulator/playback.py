"""Plays a plan to a client: in its rhythm, and with its faults."""

from __future__ import annotations

import asyncio

import orjson

from simulator import sse
from simulator.errors import ApiError
from simulator.journal import Entry
from simulator.plan import Content, Fault, Plan
from simulator.wire import Exchange

_BATCH_BYTES = 32 * 1024
"""Without a delay, frames are sent together in parts of about this size."""


class _StreamEnd(Exception):
    """A fault ended the stream; ``outcome`` is what the journal says."""

    def __init__(self, outcome: str) -> None:
        self.outcome = outcome
        super().__init__(outcome)


class StreamPlayer:
    """Plays one plan as server-sent events."""

    def __init__(self, exchange: Exchange, envelope: sse.Envelope, plan: Plan, entry: Entry):
        self._exchange = exchange
        self._envelope = envelope
        self._plan = plan
        self._entry = entry
        self._faults = list(plan.faults)
        self._buffer = bytearray()

    async def play(self) -> None:
        """Send the whole reply, or as much as its faults allow."""
        await asyncio.sleep(self._plan.silence)
        await self._exchange.start(
            200, {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        )
        self._buffer += self._envelope.message_start() + sse.PING
        try:
            for index, content in enumerate(self._plan.contents):
                await self._play_block(index, content)
            await self._strike_remaining_faults()
        except _StreamEnd as end:
            self._entry.outcome = end.outcome
            return
        self._buffer += self._envelope.message_delta(self._plan) + sse.MESSAGE_STOP
        await self._exchange.write(bytes(self._buffer), more=False)

    async def _play_block(self, index: int, content: Content) -> None:
        loop = asyncio.get_running_loop()
        before, after = sse.delta_around(index, content.kind)
        self._buffer += sse.block_start(index, content)
        due = loop.time()
        for piece in content.pieces:
            if self._faults and self._faults[0].after <= self._entry.deltas_sent:
                paused_at = loop.time()
                await self._strike(self._faults.pop(0))
                due += loop.time() - paused_at
            if content.delay:
                # The schedule is absolute: late events don't push back those after them.
                await self._flush()
                await asyncio.sleep(due - loop.time())
                due += content.delay
            self._buffer += before + orjson.dumps(piece) + after
            self._entry.deltas_sent += 1
            if content.delay or len(self._buffer) >= _BATCH_BYTES:
                await self._flush()
        self._buffer += sse.block_stop(index, content.kind)

    async def _strike_remaining_faults(self) -> None:
        """A fault that was to come after more deltas than there are comes at the end."""
        while self._faults:
            await self._strike(self._faults.pop(0))

    async def _strike(self, fault: Fault) -> None:
        match fault.kind:
            case "cut":
                # An answer left incomplete makes the server close the connection.
                await self._flush()
                raise _StreamEnd("cut")
            case "error":
                self._buffer += self._envelope.error(fault.error or ApiError(500))
                await self._exchange.write(bytes(self._buffer), more=False)
                raise _StreamEnd("midstream_error")
            case "stall":
                await self._flush()
                await self._stall(fault)

    async def _stall(self, fault: Fault) -> None:
        if not fault.ping_every:
            await asyncio.sleep(fault.seconds)
            return
        loop = asyncio.get_running_loop()
        end = loop.time() + fault.seconds
        while (left := end - loop.time()) > 0:
            await asyncio.sleep(min(fault.ping_every, left))
            self._buffer += sse.PING
            await self._flush()

    async def _flush(self) -> None:
        if self._buffer:
            await self._exchange.write(bytes(self._buffer), more=True)
            self._buffer.clear()
        # Once the client has gone, the server's send returns without yielding: yield here, or a
        # long reply would keep the whole loop and its own cancellation waiting.
        await asyncio.sleep(0)


async def respond_whole(
    exchange: Exchange, envelope: sse.Envelope, plan: Plan, entry: Entry
) -> None:
    """Play one plan as a single JSON answer, after the time its stream would have taken.

    An ``error`` in mid-stream has no counterpart and is left out: that is how a client that falls
    back from a stream to a whole answer finds the fault gone.
    """
    stalls = sum(fault.seconds for fault in plan.faults if fault.kind == "stall")
    delays = sum(content.delay * len(content.pieces) for content in plan.contents)
    await asyncio.sleep(plan.silence + stalls + delays)
    body = orjson.dumps(envelope.message(plan))
    await exchange.start(
        200, {"content-type": "application/json", "content-length": str(len(body))}
    )
    if any(fault.kind == "cut" for fault in plan.faults):
        entry.outcome = "cut"
        await exchange.write(body[: len(body) // 2], more=True)
        return
    await exchange.write(body, more=False)
