"""Drives an engine for one turn and keeps what it did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from claudeapi.core.errors import ApiError
from sessions_app.engines.base import Decision, Engine, Question, Turn
from sessions_app.engines.events import Delta, EngineEvent, Finished, Spent, Whole

PATIENCE = 60.0


class RecordingHost:
    """A host that says no to every question, and cancels when told to."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()

    async def decide(self, question: Question) -> Decision:
        return Decision(allow=False, message=f"no {question.tool_name} in this test")


@dataclass
class Outcome:
    """Everything one turn yielded, and the error it raised, if any."""

    events: list[EngineEvent] = field(default_factory=list)
    error: ApiError | None = None
    seconds: float = 0.0

    @property
    def deltas(self) -> list[dict[str, Any]]:
        return [orjson.loads(event.raw) for event in self.events if isinstance(event, Delta)]

    @property
    def wholes(self) -> list[dict[str, Any]]:
        return [event.body for event in self.events if isinstance(event, Whole)]

    @property
    def assistant(self) -> dict[str, Any]:
        messages = [body["message"] for body in self.wholes if body["type"] == "assistant"]
        return dict(messages[-1])

    @property
    def spent(self) -> list[Spent]:
        return [event for event in self.events if isinstance(event, Spent)]

    @property
    def finished(self) -> Finished:
        """The one `Finished`, which is the last of all events."""
        assert [isinstance(event, Finished) for event in self.events].count(True) == 1
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last

    @property
    def told(self) -> str:
        """What an assertion says of it."""
        kinds = [type(event).__name__ for event in self.events]
        wholes = [body.get("subtype") or body["type"] for body in self.wholes]
        return f"{self.error!r}, {kinds.count('Delta')} deltas, {wholes}, {self.seconds:.1f} s"

    @property
    def ended_well(self) -> bool:
        return any(isinstance(event, Finished) for event in self.events)


async def drive(
    engine: Engine,
    turn: Turn,
    host: RecordingHost | None = None,
    on_event: Callable[[EngineEvent], None] = lambda event: None,
) -> Outcome:
    """Run one turn to its end, which must come within `PATIENCE` seconds."""
    outcome = Outcome()
    started = time.monotonic()
    async with asyncio.timeout(PATIENCE):
        try:
            async for event in engine.run(turn, host or RecordingHost()):
                outcome.events.append(event)
                on_event(event)
        except ApiError as error:
            outcome.error = error
    outcome.seconds = time.monotonic() - started
    return outcome
