"""One run: a message sent to a live agent, and everything that comes of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from claude_agent_sdk import (
    ClaudeSDKClient,
    CLIConnectionError,
    PermissionResultAllow,
    PermissionResultDeny,
    ToolPermissionContext,
)

from claudeapi.core.errors import ApiError, RunLost, UpstreamTimeout
from sessions_app.engines.base import Block, Host, Turn
from sessions_app.engines.claude_code.frames import Translator
from sessions_app.engines.claude_code.lease import Lease
from sessions_app.engines.claude_code.outcome import Ledger, problem_of
from sessions_app.engines.claude_code.permissions import answer_of, question_of
from sessions_app.engines.claude_code.process import CliProcess, Frame
from sessions_app.engines.events import EngineEvent, Finished, Spent

log = logging.getLogger(__name__)

TOOL_PATIENCE = 660.0
"""Seconds a tool may take: the agent's own bound for a command is 600."""

# Typed commands that would leave the conversation, touch the agent's credentials, or change
# what the session is configured to be: they are words, even where other commands are obeyed.
_NEVER_OBEYED = re.compile(
    r"\s*/(clear|reset|new|resume|continue|branch|fork|rewind|login|logout|exit|quit"
    r"|model|fast|effort|config|permissions|add-dir|mcp|plugin|hooks)\b"
)

_GRACE = 15.0
_MAX_WAITING = 5_000
_END: Frame = {}


@dataclass(frozen=True, slots=True)
class Link:
    """The live agent that a run talks to."""

    client: ClaudeSDKClient
    process: CliProcess
    lease: Lease
    translator: Translator


class Run:
    """Drives one turn on one agent. `take` is called with what the agent says meanwhile.

    Attributes:
        turn: the turn.
    """

    def __init__(self, link: Link, turn: Turn, host: Host) -> None:
        self._link = link
        self.turn = turn
        self._host = host
        self._frames: asyncio.Queue[Frame] = asyncio.Queue()
        self._ledger = Ledger()
        self._message_id = turn.message_id or str(uuid4())
        self._tools: dict[str, dict[str, Any]] = {}
        self._asking = 0
        self._idle = False
        self._stalled = False
        self._over = asyncio.Event()
        self._stopping: asyncio.Task[None] | None = None

    @property
    def over(self) -> bool:
        """Whether the agent owes nothing more."""
        return self._over.is_set()

    def take(self, frame: Frame) -> None:
        """Hear what the agent says. A reader far behind misses deltas: whole messages follow."""
        kind = frame.get("type")
        if kind == "stream_event":
            if self._frames.qsize() < _MAX_WAITING:
                self._frames.put_nowait(frame)
            return
        if kind == "system" and frame.get("subtype") == "session_state_changed":
            self._idle = frame.get("state") == "idle"
        else:
            self._ledger.note(frame)
            self._follow_tools(frame)
        self._frames.put_nowait(frame)
        if self._idle and self._answered():
            self._over.set()

    def _answered(self) -> bool:
        """Whether the last result was for our message, or for one it was merged with."""
        result = self._ledger.result
        if result is None:
            return False
        answered = result.get("user_message_uuids")
        return answered is None or self._message_id in answered or self._was_answered()

    def _was_answered(self) -> bool:
        """An interrupted message may be left out of the result's list."""
        assert self._ledger.result is not None
        return str(self._ledger.result.get("terminal_reason", "")).startswith("aborted")

    def _follow_tools(self, frame: Frame) -> None:
        message = frame.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else ():
            if block.get("type") == "tool_use":
                self._tools[block.get("id", "")] = block.get("input") or {}
            elif block.get("type") == "tool_result":
                self._tools.pop(block.get("tool_use_id", ""), None)

    def process_ended(self) -> None:
        """Hear that the agent is gone."""
        self._over.set()
        self._frames.put_nowait(_END)

    async def ask(
        self, name: str, tool_input: dict[str, Any], context: ToolPermissionContext
    ) -> PermissionResultAllow | PermissionResultDeny:
        """Let the host answer for a tool call; a failure to ask is a no."""
        called_with = self._tools.get(context.tool_use_id or "", {})
        modes = self.turn.config.get("permissionModes") or ()
        question = question_of(name, tool_input, context, called_with, modes)
        self._asking += 1
        try:
            decision = await self._host.decide(question)
        except ApiError as error:
            return PermissionResultDeny(message=error.message)
        finally:
            self._asking -= 1
        rules = self.turn.config.get("allowedTools") or ()
        return answer_of(question, decision, modes, rules)

    async def events(self) -> AsyncGenerator[EngineEvent, None]:
        """Send the message and yield what comes, down to the `Finished`.

        Raises:
            ApiError: how the run failed.
        """
        link = self._link
        link.lease.on_stall = self._on_stall
        cancelling = asyncio.create_task(self._heed_cancel())
        try:
            await self._send()
            while not (self.over and self._frames.empty()):
                frame = await self._next()
                if frame is _END:
                    break
                event = link.translator.event(frame)
                if event is not None:
                    yield event
            if self._stopping is not None:
                # An interrupt on its way would hit the next run.
                await self._stopping
        finally:
            cancelling.cancel()
            if self._stopping is not None and not self._stopping.done():
                self._stopping.cancel()
        yield self._spent()
        yield self._end()

    async def _send(self) -> None:
        message: dict[str, Any] = {
            "type": "user",
            "message": {"role": "user", "content": list(self.turn.prompt)},
            "parent_tool_use_id": None,
            "session_id": self.turn.claude_session_id,
            "uuid": self._message_id,
        }
        if _has_forbidden_command(self.turn.prompt):
            message["client_composed"] = True

        async def one() -> AsyncIterator[dict[str, Any]]:
            yield message

        try:
            async with asyncio.timeout(_GRACE):
                await self._link.client.query(one())
        except (CLIConnectionError, TimeoutError) as error:
            self._link.process.kill()
            raise RunLost from error

    async def _next(self) -> Frame:
        """The next message; an agent that is silent for no reason is stopped."""
        while True:
            with contextlib.suppress(asyncio.QueueEmpty):
                return self._frames.get_nowait()
            since = time.monotonic()
            try:
                async with asyncio.timeout(self._patience()):
                    return await self._frames.get()
            except TimeoutError:
                if not self._asking and time.monotonic() - since >= self._patience():
                    self._on_stall()

    def _patience(self) -> float:
        """Seconds of silence that are all right just now."""
        if self._asking or self._tools:
            return TOOL_PATIENCE
        return self.turn.upstream.idle_timeout + _GRACE

    def _on_stall(self) -> None:
        self._stalled = True
        self._stop()

    async def _heed_cancel(self) -> None:
        await self._host.cancelled.wait()
        self._stop()

    def _stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._interrupt())

    async def _interrupt(self) -> None:
        """Interrupt until the agent has stopped; then by force.

        A message that was sent but not yet begun is not touched by an interrupt, hence
        the repetition.
        """
        for patience in (0.5, 1.0, 1.5):
            if self.over:
                return
            try:
                async with asyncio.timeout(2.0):
                    await self._link.client.interrupt()
            except Exception:  # The SDK has no class of its own for "no answer".
                log.warning("claude_code.interrupt_failed")
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._over.wait()
        if not self.over:
            self._link.process.kill()

    def _spent(self) -> Spent:
        tally = self._link.lease.tally
        cost = self._ledger.cost_beside(tally)
        return Spent(tally.usage, cost, tally.model or self._ledger.model)

    def _end(self) -> Finished:
        """The run's end. Raises the `ApiError` that it failed with."""
        ledger, result = self._ledger, self._ledger.result
        cancelled = self._host.cancelled.is_set()
        problem: ApiError | None
        if result is None or not self._answered():
            problem = RunLost(details=self._loss())
        else:
            problem = problem_of(result, self._link.lease.failure)
        stopped = self._stopping is not None and problem is not None
        if self._stalled and problem is not None:
            raise UpstreamTimeout()
        if problem is not None and not (cancelled and stopped):
            raise problem
        spent = self._spent()
        return Finished(
            status="cancelled" if problem is not None else "completed",
            text=ledger.text or str((result or {}).get("result") or ""),
            stop_reason=(result or {}).get("stop_reason"),
            usage=spent.usage,
            cost_usd=spent.cost_usd,
            model=spent.model,
        )

    def _loss(self) -> dict[str, Any]:
        return {"reason": self._link.process.fault} if self._link.process.fault else {}


def _has_forbidden_command(prompt: Sequence[Block]) -> bool:
    """Whether one is there at all: which block counts as typed is the agent's affair."""
    texts = (block.get("text", "") for block in prompt if block.get("type") == "text")
    return any(_NEVER_OBEYED.match(str(text)) for text in texts)
