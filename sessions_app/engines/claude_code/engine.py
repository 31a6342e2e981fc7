"""The `claude-code` engine: turns in, events out, live agents behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from claudeapi.core.errors import Unavailable
from sessions_app.engines.base import Host, Turn
from sessions_app.engines.claude_code import store
from sessions_app.engines.claude_code.actor import Actor, Surroundings
from sessions_app.engines.claude_code.options import (
    Setup,
    can_switch,
    check_mode,
    key_left,
    setup_of,
)
from sessions_app.engines.claude_code.pool import PATIENCE, Pool
from sessions_app.engines.claude_code.probe import find_cli
from sessions_app.engines.claude_code.quota import Quota
from sessions_app.engines.claude_code.relay import Relay
from sessions_app.engines.claude_code.sandbox import Sandbox, SandboxMode, choose
from sessions_app.engines.claude_code.workspaces import Folders, Workspaces
from sessions_app.engines.events import EngineEvent, Finished


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A turn that waits for its process, and what of it was changed meanwhile."""

    turn: Turn
    changes: dict[str, Any] = field(default_factory=dict)


class ClaudeCodeEngine:
    """Answers turns with Claude Code agents, one live process per session at most.

    Args:
        data_dir: the server's data folder; workspaces and agents' homes lie in it.
        transcripts: where conversations are kept.
        sandbox_mode: `required` refuses to run without bubblewrap, `auto` does without
            where it must, `off` never uses it.
        max_live: agent processes at once.
        idle_seconds: after which an unused process is ended; the next message resumes.
        patience: seconds that a message waits for a process, where all are busy.
        protected: folders of the server's own, beside `data_dir`, that no agent may reach.
        cli: the CLI to use instead of the one that comes with the SDK.
        max_line: bytes; an agent that sends a longer line is ended.
        quota: bytes that a session's own folders may take; more ends its run and refuses
            the next message.
        quota_seconds: between two looks at them while a run is in progress.
        retries: how often an agent repeats a failed request; four take about nine seconds.
    """

    name = "claude-code"

    def __init__(
        self,
        *,
        data_dir: Path,
        transcripts: store.TranscriptRepository,
        sandbox_mode: SandboxMode = "auto",
        max_live: int = 20,
        idle_seconds: float = 300.0,
        patience: float = PATIENCE,
        protected: Iterable[Path] = (),
        cli: Path | None = None,
        max_line: int = 32 << 20,
        quota: int | None = None,
        quota_seconds: float = 30.0,
        retries: int = 4,
    ) -> None:
        self.workspaces = Workspaces(data_dir, protected)
        self.transcripts = transcripts
        self._mode = sandbox_mode
        self._cli = cli
        self._max_line = max_line
        self._retries = retries
        self._quota = Quota(self.workspaces, quota, quota_seconds)
        self._relay = Relay()
        self._pool = Pool(max_live=max_live, idle_seconds=idle_seconds, patience=patience)
        self._waiting: dict[str, _Waiting] = {}

    async def run(self, turn: Turn, host: Host) -> AsyncGenerator[EngineEvent, None]:
        """Answer one turn; see `Engine.run`."""
        # Before any wait: what others spend meanwhile counts.
        purse = self._relay.purse(turn.key_id, key_left(turn))
        setup = setup_of(turn, closed=(await self._chosen()).closed)
        async with self._pool.seat(turn.claude_session_id):
            if self._pool.get(setup.conversation) is None:
                await self._quota.measure(turn, at_start=True)
            self._quota.check(turn)
            if turn.config.get("moved"):
                await self._pool.release(setup.conversation)  # it has missed messages
            waiting = self._waiting[turn.session_id] = _Waiting(turn)
            try:
                actor = await self._actor_unless_cancelled(turn, setup, host)
            finally:
                del self._waiting[turn.session_id]
            setup = replace(setup, **waiting.changes)
            if actor is None or host.cancelled.is_set():
                yield Finished("cancelled")
                return
            async with (
                self._quota.kept(turn, partial(self._pool.release, setup.conversation)),
                aclosing(actor.answer(turn, host, setup, purse)) as events,
            ):
                async for event in events:
                    yield event

    async def _actor_unless_cancelled(self, turn: Turn, setup: Setup, host: Host) -> Actor | None:
        starting = asyncio.create_task(self._actor(turn, setup))
        cancelled = asyncio.create_task(host.cancelled.wait())
        try:
            await asyncio.wait({starting, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                return starting.result()
            return None
        finally:
            cancelled.cancel()
            if not starting.done():
                starting.cancel()
                await asyncio.wait({starting})

    async def _actor(self, turn: Turn, setup: Setup) -> Actor:
        actor = self._pool.get(setup.conversation)
        if actor is not None and actor.fits(setup) and await actor.responds():
            return actor
        return await self._pool.start(setup.conversation, lambda: self._started(turn, setup))

    async def _started(self, turn: Turn, setup: Setup) -> Actor:
        around = Surroundings(
            cli=self._found_cli(),
            relay=self._relay,
            sandbox=await self._chosen(),
            transcripts=self.transcripts,
            max_line=self._max_line,
            retries=self._retries,
        )
        folders = await asyncio.to_thread(self._folders, turn, setup)
        actor = Actor(around, setup, folders)
        await actor.start(turn)
        return actor

    def _folders(self, turn: Turn, setup: Setup) -> Folders:
        """A folder that was asked for is looked at again: links may have changed."""
        return self.workspaces.prepare(
            turn.key_id,
            turn.session_id,
            workspace=setup.workspace,
            cwd=setup.cwd,
            roots=turn.config.get("roots") or (),
        )

    def _found_cli(self) -> Path:
        cli = self._cli or find_cli()
        if cli is None or not cli.is_file():
            raise Unavailable(
                "The Claude Code CLI is not installed on this server.",
                details={"remedy": "Install claude-agent-sdk, which brings it."},
            )
        return cli

    async def _chosen(self) -> Sandbox:
        return await choose(self._mode, self.workspaces.data_dir, self.workspaces.protected)

    async def configure(
        self, session_id: str, *, model: str | None = None, permission_mode: str | None = None
    ) -> None:
        """Change the run in progress; see `Engine.configure`.

        One that waits for its process begins with the change. Where there is none, nothing need
        be done: each turn brings its model and mode. So it does for a mode that a live process
        cannot be switched to, see `can_switch`: the next message starts another.
        """
        if permission_mode is not None:
            check_mode(permission_mode, closed=(await self._chosen()).closed)
        waiting, actor = self._waiting.get(session_id), self._live(session_id)
        turn = waiting.turn if waiting else actor.turn if actor else None
        if turn is None:
            return
        if permission_mode is not None and not can_switch(turn, permission_mode):
            permission_mode = None
        if waiting is not None:
            wanted = {"model": model, "permission_mode": permission_mode}
            waiting.changes.update(
                (name, value) for name, value in wanted.items() if value is not None
            )
        elif actor is not None:
            await actor.switch(model=model, permission_mode=permission_mode)

    async def release(self, session_id: str) -> None:
        """End a session's process; see `Engine.release`."""
        self._quota.forget(session_id)
        for conversation, actor in self._pool.live().items():
            if actor.session_id == session_id:
                await self._pool.release(conversation)

    def _live(self, session_id: str) -> Actor | None:
        actors = self._pool.live().values()
        return next((actor for actor in actors if actor.session_id == session_id), None)

    async def fork(self, claude_session_id: str, at: str | None = None) -> str:
        """Copy a conversation under a new Claude session id; see `store.fork`."""
        return await store.fork(self.transcripts, claude_session_id, at)

    def live_sessions(self) -> dict[str, dict[str, Any]]:
        """Of each live session: its process id, and whether it is busy."""
        return {
            actor.session_id: {"pid": actor.pid, "busy": actor.busy}
            for actor in self._pool.live().values()
        }

    async def aclose(self) -> None:
        """End everything; see `Engine.aclose`."""
        self._quota.close()
        await self._pool.aclose()
        await self._relay.aclose()
