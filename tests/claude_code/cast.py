"""A host that answers as a test says, and what a run told it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

from claudeapi.core.errors import ApiError
from sessions_app.engines.base import Decision, Question, Turn, Upstream
from sessions_app.engines.claude_code.engine import ClaudeCodeEngine
from sessions_app.engines.events import Delta, EngineEvent, Finished, Spent, Usage, Whole

BOUND = 40.0
"""Seconds: no run of a test takes longer."""

Answer = Callable[[Question], Decision | Awaitable[Decision]]


def yes(question: Question) -> Decision:
    return Decision(allow=True)


def no(question: Question) -> Decision:
    return Decision(allow=False, message="Rather not.")


class TestHost:
    """Somebody who answers questions at once."""

    __test__ = False

    def __init__(self, answer: Answer = yes) -> None:
        self.cancelled = asyncio.Event()
        self.asked: list[Question] = []
        self.asking = asyncio.Event()
        self._answer = answer

    async def decide(self, question: Question) -> Decision:
        self.asked.append(question)
        self.asking.set()
        answer = self._answer(question)
        return answer if isinstance(answer, Decision) else await answer


@dataclass
class Told:
    """Everything that one run yielded."""

    events: list[EngineEvent] = field(default_factory=list)
    error: ApiError | None = None

    @property
    def finished(self) -> Finished:
        assert self.error is None, (self.error, self.error.details)
        last = self.events[-1]
        assert isinstance(last, Finished)
        return last

    @property
    def deltas(self) -> list[dict[str, Any]]:
        return [orjson.loads(event.raw) for event in self.events if isinstance(event, Delta)]

    @property
    def wholes(self) -> list[dict[str, Any]]:
        return [event.body for event in self.events if isinstance(event, Whole)]

    def of(self, kind: str, subtype: str | None = None) -> list[dict[str, Any]]:
        return [
            body
            for body in self.wholes
            if body["type"] == kind and subtype in (None, body.get("subtype"))
        ]

    @property
    def spent(self) -> Spent:
        spent = [event for event in self.events if isinstance(event, Spent)]
        return spent[-1] if spent else Spent(Usage(), Decimal(0))

    @property
    def tool_results(self) -> list[dict[str, Any]]:
        return [
            block
            for body in self.of("user")
            for block in body["message"]["content"]
            if isinstance(block, dict) and block["type"] == "tool_result"
        ]

    @property
    def tool_texts(self) -> list[str]:
        return [_text_of(block["content"]) for block in self.tool_results]


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(block.get("text", "") for block in content)


@dataclass
class Session:
    """One session of Alice's or Mallory's."""

    engine: ClaudeCodeEngine
    upstream: Upstream
    key_id: str = "alice"
    session_id: str = field(default_factory=lambda: str(uuid4()))
    claude_id: str = field(default_factory=lambda: str(uuid4()))
    config: dict[str, Any] = field(default_factory=dict)
    model: str = "claude-sonnet-5-5"
    system_prompt: str = ""
    append_system_prompt: str = ""
    spent: float = 0.0

    def turn(self, prompt: str | list[dict[str, Any]], **config: Any) -> Turn:
        return Turn(
            run_id=str(uuid4()),
            session_id=self.session_id,
            key_id=self.key_id,
            prompt=[{"type": "text", "text": prompt}] if isinstance(prompt, str) else prompt,
            model=self.model,
            upstream=self.upstream,
            system_prompt=self.system_prompt,
            append_system_prompt=self.append_system_prompt,
            config={**self.config, **config},
            claude_session_id=self.claude_id,
            spent_usd=self.spent,
        )

    async def say(
        self,
        prompt: str | list[dict[str, Any]],
        host: TestHost | None = None,
        on_event: Callable[[EngineEvent], None] = lambda event: None,
        **config: Any,
    ) -> Told:
        """One message, to its end."""
        told = Told()
        async with asyncio.timeout(BOUND):
            try:
                async for event in self.engine.run(self.turn(prompt, **config), host or TestHost()):
                    told.events.append(event)
                    on_event(event)
            except ApiError as error:
                told.error = error
        self.spent += float(told.spent.cost_usd)
        return told

    @property
    def workspace(self) -> Path:
        return self.engine.workspaces.private(self.key_id, self.session_id)

    def files(self) -> list[str]:
        """Names in the workspace."""
        return sorted(path.name for path in self.workspace.iterdir())


class Keeper(TestHost):
    """Says yes for the session, and keeps what that grants, as whoever drives the engine does."""

    def __init__(self, alice: Session) -> None:
        super().__init__(self._yes)
        self._granted: list[dict[str, Any]] = alice.config.setdefault("granted", [])

    def _yes(self, question: Question) -> Decision:
        self._granted += question.suggestions
        return Decision(allow=True, scope="session")


def bash(command: str) -> str:
    """A directive that lets the agent call Bash."""
    value = orjson.dumps({"command": command}).decode().replace("'", "\\u0027")
    return f"[[sim tool name=Bash input='{value}']]"


def tool(name: str, **arguments: Any) -> str:
    """A directive that lets the agent call a tool."""
    value = orjson.dumps(arguments).decode().replace("'", "\\u0027")
    return f"[[sim tool name={name} input='{value}']]"


def assert_one_chain(entries: list[dict[str, Any]]) -> None:
    """Pass if each line of a transcript that says what it follows, follows one before it."""
    known: set[str | None] = {None}
    followed: list[str | None] = []
    for entry in entries:
        if "parentUuid" in entry:
            assert entry["parentUuid"] in known, entry
            followed.append(entry["parentUuid"])
            known.add(entry["uuid"])
    assert len(set(followed)) == len(followed), "two lines follow one"


def processes_with(marker: str) -> list[int]:
    """Ids of the living processes with this in their command line or environment."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                command = file.read()
            with open(f"/proc/{name}/stat") as file:
                zombie = file.read().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if marker.encode() in command and not zombie and int(name) != os.getpid():
            found.append(int(name))
    return found


async def until(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    """Wait for a condition, within bounds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what we wait for sends no signal
            await asyncio.sleep(0.02)
