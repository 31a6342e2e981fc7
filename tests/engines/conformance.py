"""What every engine must do: one suite, inherited once for each engine.

A subclass named `Test…` gives the fixtures `engine` (one that is closed after the test) and
`make_turn` (a function `(prompt, **fields of Turn) -> Turn` against the simulator). Turns of one
session belong to one conversation.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace

import pytest

from claudeapi.core.errors import (
    ApiError,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
)
from sessions_app.engines.base import Engine, Turn
from sessions_app.engines.events import Delta, EngineEvent, Finished
from simulator.testing import Probe
from tests.engines.driving import PATIENCE, Outcome, RecordingHost, drive
from tests.timing import fastest

MakeTurn = Callable[..., Turn]

CANCEL_SECONDS = 0.25
"""Within this time of a cancellation the upstream request must be closed."""

FAILURES = {
    "a bad request": ('status 400 message="too warm"', UpstreamRejected),
    "a refused key": ("status 401", UpstreamRejected),
    "a missing permission": ("status 403", UpstreamRejected),
    "an unknown model": ("status 404", UpstreamRejected),
    "a body that is too large": ("status 413", UpstreamRejected),
    "a rate limit": ("status 429 retry-after=30", UpstreamOverloaded),
    "an overload": ("status 529 retry-after=30", UpstreamOverloaded),
    "a fault inside": ("status 500", UpstreamError),
    "a gateway's fault": ("status 502", UpstreamError),
    "a connection that is cut": ("cut after=3", UpstreamError),
    "a connection that is cut at once": ("cut after=0", UpstreamError),
    "a stall": ("stall after=3", UpstreamTimeout),
    "a stall under pings": ("stall after=3 pings=true every=50ms", UpstreamTimeout),
    "no answer at all": ("silence", UpstreamTimeout),
}

# Asked again without streaming, the simulator gives the whole reply.
FAILURES_IN_MIDSTREAM = {
    "an overload": ("midstream-error after=3", UpstreamOverloaded),
    "a rate limit": ("midstream-error type=rate_limit_error", UpstreamOverloaded),
    "a refusal": ("midstream-error type=invalid_request_error", UpstreamRejected),
    "a fault": ("midstream-error type=api_error", UpstreamError),
}


class EngineConformance:
    """The behaviours, told by the names of the tests.

    Attributes:
        asks_again: the engine itself asks for the rest of a reply that broke off or was full.
    """

    asks_again = False

    async def test_a_reply_comes_as_deltas_then_whole_then_finished(
        self, engine: Engine, make_turn: MakeTurn
    ) -> None:
        outcome = await drive(engine, make_turn('[[sim text "Hello, Alice."]]'))

        assert outcome.error is None
        assert outcome.finished.status == "completed"
        assert outcome.finished.text == "Hello, Alice."
        assert outcome.finished.stop_reason == "end_turn"
        assert outcome.finished.model
        assert streamed_text(outcome) == "Hello, Alice."
        assert [body["type"] for body in outcome.wholes][-2:] == ["assistant", "result"]
        assert outcome.assistant["content"] == [{"type": "text", "text": "Hello, Alice."}]

    async def test_what_it_cost_is_known(self, engine: Engine, make_turn: MakeTurn) -> None:
        finished = (await drive(engine, make_turn("hello"))).finished

        assert finished.usage.input_tokens + finished.usage.cache_creation_tokens > 0
        assert finished.usage.output_tokens > 0
        assert finished.cost_usd > 0

    async def test_a_second_turn_knows_the_first(self, engine: Engine, make_turn: MakeTurn) -> None:
        first = make_turn("Alice was here")
        answer = await drive(engine, first)
        history = [
            {"role": "user", "content": list(first.prompt)},
            {"role": "assistant", "content": answer.assistant["content"]},
        ]
        prompt = [{"type": "text", "text": "and now?"}]

        second = await drive(engine, replace(first, prompt=prompt, history=history, run_id="run-2"))

        assert "Alice was here" in second.finished.text

    @pytest.mark.parametrize("failure", FAILURES)
    async def test_every_failure_has_its_code(
        self, engine: Engine, make_turn: MakeTurn, failure: str
    ) -> None:
        directive, kind = FAILURES[failure]
        # A busy machine must not make a stall of what is none.
        patience = 0.5 if kind is UpstreamTimeout else 10.0
        turn = make_turn(f"[[sim {directive}]]", idle_timeout=patience)

        outcome = await drive(engine, turn)

        assert type(outcome.error) is kind
        assert not outcome.ended_well
        assert turn.upstream.api_key not in str(outcome.error.details)

    @pytest.mark.parametrize("failure", FAILURES_IN_MIDSTREAM)
    async def test_a_failure_in_mid_stream_has_its_code_or_is_made_up_for(
        self, engine: Engine, make_turn: MakeTurn, failure: str
    ) -> None:
        directive, kind = FAILURES_IN_MIDSTREAM[failure]

        outcome = await drive(engine, make_turn(f"[[sim {directive}]]"))

        if self.asks_again:
            assert outcome.finished.status == "completed"
            assert outcome.finished.text == outcome.assistant["content"][0]["text"]
        else:
            assert type(outcome.error) is kind
            assert not outcome.ended_well

    async def test_an_overload_says_when_to_come_back(
        self, engine: Engine, make_turn: MakeTurn
    ) -> None:
        outcome = await drive(engine, make_turn("[[sim status 429 retry-after=30]]"))

        assert error_of(outcome).retry_after == 30
        assert outcome.seconds < 30

    async def test_a_broken_reply_leaves_what_has_arrived_and_what_it_cost(
        self, engine: Engine, make_turn: MakeTurn
    ) -> None:
        # What has been sent in the moment before a cut may be lost with the connection.
        told_in_time = "[[sim slow n=20 delay=20ms]] [[sim stall after=5 for=1s]]"

        outcome = await drive(engine, make_turn(f"{told_in_time} [[sim cut after=6]]"))

        assert isinstance(outcome.error, UpstreamError), outcome.told
        assert streamed_text(outcome).startswith("tok0 tok1"), outcome.told
        assert outcome.spent[-1].usage.output_tokens > 0
        assert outcome.spent[-1].cost_usd > 0

    @pytest.mark.parametrize("reason", ["max_tokens", "refusal"])
    async def test_an_early_stop_is_a_completed_reply(
        self, engine: Engine, make_turn: MakeTurn, reason: str
    ) -> None:
        outcome = await drive(engine, make_turn(f'[[sim text "So far."]] [[sim {reason}]]'))

        assert outcome.finished.status == "completed"
        went_on = self.asks_again and reason == "max_tokens"
        assert outcome.finished.stop_reason == ("end_turn" if went_on else reason)

    async def test_cancelling_in_mid_stream_closes_the_upstream_request(
        self, engine: Engine, make_turn: MakeTurn, probe: Probe
    ) -> None:
        async def measure() -> float:
            host = RecordingHost()
            pressed = PressedOnce(host, after=5)

            outcome = await drive(
                engine, make_turn("[[sim slow n=1000 delay=10ms]]"), host, pressed.on_event
            )

            assert outcome.finished.status == "cancelled"
            assert outcome.finished.text.startswith("tok0")
            assert outcome.assistant["stop_reason"] is None
            assert outcome.spent[-1].usage == outcome.finished.usage
            return await closed_after(probe, pressed.at)

        await fastest(measure, CANCEL_SECONDS)

    async def test_cancelling_before_the_first_byte_closes_the_upstream_request(
        self, engine: Engine, make_turn: MakeTurn, probe: Probe
    ) -> None:
        async def measure() -> float:
            host = RecordingHost()
            running = asyncio.create_task(drive(engine, make_turn("[[sim silence]]"), host))
            await probe.until(lambda stats: stats["in_flight"] == 1)

            pressed_at = time.monotonic()
            host.cancelled.set()
            outcome = await running

            assert outcome.finished.status == "cancelled"
            return await closed_after(probe, pressed_at)

        await fastest(measure, CANCEL_SECONDS)

    async def test_closing_the_iterator_closes_the_upstream_request(
        self, engine: Engine, make_turn: MakeTurn, probe: Probe
    ) -> None:
        async def measure() -> float:
            events = engine.run(make_turn("[[sim slow n=1000 delay=10ms]]"), RecordingHost())
            async with asyncio.timeout(PATIENCE), aclosing(events):  # type: ignore[type-var]
                async for event in events:
                    if isinstance(event, Delta):
                        break
                left_at = time.monotonic()
            return await closed_after(probe, left_at)

        await fastest(measure, CANCEL_SECONDS)

    async def test_sessions_do_not_see_each_other(
        self, engine: Engine, make_turn: MakeTurn
    ) -> None:
        turns = [
            make_turn(f'[[sim text "for {name}"]]', session_id=name) for name in ("alice", "bob")
        ]

        alice, bob = await asyncio.gather(*(drive(engine, turn) for turn in turns))

        assert (alice.finished.text, bob.finished.text) == ("for alice", "for bob")

    async def test_a_turn_after_a_failure_is_answered(
        self, engine: Engine, make_turn: MakeTurn
    ) -> None:
        failed = await drive(engine, make_turn("[[sim cut after=2]]"))
        answered = await drive(engine, make_turn('[[sim text "Here again."]]'))

        assert isinstance(failed.error, UpstreamError)
        assert answered.finished.text == "Here again."


class PressedOnce:
    """Cancels the run after so many deltas, and knows when that was."""

    def __init__(self, host: RecordingHost, after: int) -> None:
        self.at = 0.0
        self._host = host
        self._left = after

    def on_event(self, event: EngineEvent) -> None:
        """Count one event."""
        self._left -= isinstance(event, Delta)
        if self._left == 0 and not self.at and not isinstance(event, Finished):
            self.at = time.monotonic()
            self._host.cancelled.set()


async def closed_after(probe: Probe, since: float) -> float:
    """Seconds from `since` to the moment at which the simulator saw its client leave."""
    await probe.until(lambda stats: stats["in_flight"] == 0)
    ended = [
        request["ended_monotonic"]
        for request in await probe.requests()
        if request["outcome"] == "cancelled"
    ]
    assert ended
    return float(max(ended)) - since


def streamed_text(outcome: Outcome) -> str:
    """The text in the deltas alone."""
    return "".join(
        event["delta"]["text"]
        for event in outcome.deltas
        if event["type"] == "content_block_delta" and event["delta"]["type"] == "text_delta"
    )


def error_of(outcome: Outcome) -> ApiError:
    """The error that the turn must have ended with."""
    assert outcome.error is not None
    return outcome.error
