"""How one turn goes: deltas while the reply arrives, then what became of it."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from sessions_app.engines.aliases import resolve
from sessions_app.engines.base import Host, Turn
from sessions_app.engines.events import Delta, EngineEvent, Finished, Spent, Whole
from sessions_app.engines.fold import Fold
from sessions_app.engines.messages.client import Clients
from sessions_app.engines.messages.exchange import Exchange
from sessions_app.engines.messages.guard import Cancelled, Guard
from sessions_app.engines.messages.request import body
from sessions_app.engines.prices import cost

logger = logging.getLogger(__name__)


class MessagesEngine:
    """Plain conversation over the Messages API, through the Anthropic SDK.

    A turn yields a `Delta` for each event of the stream but pings, then what it has cost, the
    assistant message and a `result` as `Whole`, then `Finished`. A turn that is cancelled or fails
    after the upstream began to answer yields what it has cost and what has arrived of the message
    (its `stop_reason` is null), then `Finished(status="cancelled")`, or raises.
    """

    name = "messages"

    def __init__(self) -> None:
        self._clients = Clients()

    async def run(self, turn: Turn, host: Host) -> AsyncIterator[EngineEvent]:
        """Answer one turn.

        Raises:
            UpstreamRejected, UpstreamOverloaded, UpstreamError, UpstreamTimeout: how it failed.
        """
        started = time.monotonic()
        exchange = Exchange(self._clients.of(turn.upstream), turn.upstream, body(turn))
        guard = Guard(host.cancelled, turn.upstream.idle_timeout)
        failure: Exception | None = None
        try:
            await exchange.open(guard)
            while not exchange.fold.complete:
                for raw in await exchange.batch(guard):
                    yield Delta(raw)
                    if host.cancelled.is_set():
                        break
                guard.restart()
            await exchange.drain(guard)
        except Cancelled:
            pass
        except Exception as error:  # an ApiError, or a bug of ours: it is paid for all the same
            failure = error
        finally:
            guard.close()
            await exchange.aclose()
        if exchange.fold.skipped:
            logger.info("%d stream events of kinds we do not know", exchange.fold.skipped)
        for event in _ending(turn, exchange.fold, failure, time.monotonic() - started):
            yield event
        if failure is not None:
            raise failure

    async def configure(
        self, session_id: str, *, model: str | None = None, permission_mode: str | None = None
    ) -> None:
        """Nothing is live between turns."""

    async def release(self, session_id: str) -> None:
        """Nothing is held for a session."""

    async def aclose(self) -> None:
        """Close the connections."""
        await self._clients.aclose()


def _ending(
    turn: Turn, fold: Fold, failure: Exception | None, seconds: float
) -> Iterator[EngineEvent]:
    """What there is to say once the stream is over."""
    usage = fold.usage
    model = fold.model or resolve(turn.model)
    price = cost(model, usage)
    if fold.started:
        yield Spent(usage, price, model)  # first of all: what comes now may fail
    if fold.complete:
        message = fold.message()
        yield _assistant(turn, message)
        yield _result(turn, fold, message, float(price), round(seconds * 1000))
        yield Finished("completed", fold.text, fold.stop_reason, usage, price, model)
        return
    if fold.started:
        message = fold.message()
        if message["content"]:
            yield _assistant(turn, message)
    if failure is None:
        yield Finished("cancelled", fold.text, None, usage, price, model)


def _assistant(turn: Turn, message: dict[str, Any]) -> Whole:
    return Whole(
        {
            "type": "assistant",
            "message": message,
            "parent_tool_use_id": None,
            "session_id": turn.claude_session_id or turn.session_id,
        }
    )


def _result(turn: Turn, fold: Fold, message: dict[str, Any], dollars: float, ms: int) -> Whole:
    return Whole(
        {
            "type": "result",
            "subtype": "success",
            "is_error": False,
            "duration_ms": ms,
            "duration_api_ms": ms,
            "num_turns": 1,
            "result": fold.text,
            "stop_reason": fold.stop_reason,
            "session_id": turn.claude_session_id or turn.session_id,
            "total_cost_usd": dollars,
            "usage": message["usage"],
        }
    )
