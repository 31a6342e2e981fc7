"""A live session: one CLI process and the one object that owns it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import warnings
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from claude_agent_sdk import (
    CanUseToolShadowedWarning,
    ClaudeSDKClient,
    PermissionMode,
    PermissionResultAllow,
    PermissionResultDeny,
    ToolPermissionContext,
    project_key_for_directory,
)

from claudeapi.core.errors import Unavailable
from sessions_app.engines.base import Host, Turn
from sessions_app.engines.claude_code import permissions, store
from sessions_app.engines.claude_code.frames import Translator
from sessions_app.engines.claude_code.grants import grants_of
from sessions_app.engines.claude_code.lease import Allowance, Purse
from sessions_app.engines.claude_code.options import Setup, command_line, environment, sdk_options
from sessions_app.engines.claude_code.outcome import upstream_problem
from sessions_app.engines.claude_code.process import CliProcess, Frame, Launch
from sessions_app.engines.claude_code.relay import Relay
from sessions_app.engines.claude_code.run import Link, Run
from sessions_app.engines.claude_code.sandbox import Sandbox
from sessions_app.engines.claude_code.workspaces import Folders
from sessions_app.engines.events import EngineEvent

log = logging.getLogger(__name__)

# That tools which are allowed are not asked about is what we want.
warnings.simplefilter("ignore", CanUseToolShadowedWarning)

START_TIMEOUT = 30.0
SWITCH_TIMEOUT = 10.0
TRUSTED_IDLE = 5.0
"""Seconds: a process that was idle for longer is asked whether it still answers."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every actor of an engine shares."""

    cli: Path
    relay: Relay
    sandbox: Sandbox
    transcripts: store.TranscriptRepository
    max_line: int
    retries: int


class Actor:
    """Owns a session's process from its start to its end.

    One run at a time: the pool sees to it.

    Attributes:
        used_at: when it last ended a run, on the monotonic clock.
    """

    def __init__(self, surroundings: Surroundings, setup: Setup, folders: Folders) -> None:
        self._around = surroundings
        self._setup = setup
        self._folders = folders
        self._lease = surroundings.relay.grant()
        self._link: Link | None = None
        self._run: Run | None = None
        self._granted: list[str] = []
        self._may_plan = False
        self._mode_in_doubt = False
        self._drain: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self.used_at = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether its process can take a message."""
        return self._closing is None and self._link is not None and self._link.process.is_ready()

    @property
    def busy(self) -> bool:
        """Whether a run is in progress."""
        return self._run is not None

    @property
    def turn(self) -> Turn | None:
        """What it answers just now."""
        return self._run.turn if self._run else None

    @property
    def session_id(self) -> str:
        """Whose process it is."""
        return self._setup.session_id

    @property
    def pid(self) -> int | None:
        """The id of its outermost process."""
        return self._link.process.pid if self._link else None

    def fits(self, setup: Setup) -> bool:
        """Whether this process can serve that setup, and still has its folders."""
        return self._setup.fits(setup) and self._folders.there

    async def responds(self) -> bool:
        """Whether an idle process still answers: it may be stopped, or hang."""
        if time.monotonic() - self.used_at < TRUSTED_IDLE or self._link is None:
            return True
        try:
            async with asyncio.timeout(SWITCH_TIMEOUT):
                await self._link.client.set_permission_mode(self._setup.permission_mode)
        except Exception:  # The SDK has no class of its own for "no answer".
            log.warning("claude_code.no_response")
            self._link.process.kill()
            return False
        return True

    async def start(self, turn: Turn) -> None:
        """Start the process, resuming the conversation where there is one.

        Raises:
            Unavailable: it cannot be started; its own words are in the details.
        """
        try:
            await self._start(turn)
        except BaseException:
            await self.close()
            raise

    async def _start(self, turn: Turn) -> None:
        around, folders = self._around, self._folders
        # Before it is read: whoever has written it until now adds nothing any more.
        claim = await around.transcripts.claim(self._setup.conversation)
        jail = around.sandbox.jail(folders, around.cli, await around.relay.start())
        options = sdk_options(
            self._setup,
            turn,
            resume=await self._restore(),
            folders=folders,
            jail=jail,
            can_use_tool=self._ask,
            store=store.session_store(
                around.transcripts,
                store.only(self._setup.conversation),
                store.Claim(claim, self._superseded),
            ),
        )
        launch = Launch(
            command=(*jail.command, *command_line(options)),
            environment=environment(
                folders,
                jail,
                self._lease.token,
                typed_files=self._setup.typed_commands and around.sandbox.closed,
                retries=around.retries,
            ),
            stop=jail.stop,
            max_line=around.max_line,
        )
        process = CliProcess(launch, self._hear, self._process_ended)
        client = ClaudeSDKClient(options, transport=process)
        self._link = Link(client, process, self._lease, Translator())
        await self._connect(self._link)
        self._drain = asyncio.create_task(self._drain_sdk(client))

    async def _restore(self) -> bool:
        folders, transcripts = self._folders, self._around.transcripts
        project = project_key_for_directory(folders.work)
        return await store.restore(transcripts, self._setup.conversation, folders.config, project)

    async def _connect(self, link: Link) -> None:
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await link.client.connect()
        except Exception as error:  # Of the SDK's, some have no class of their own.
            reason = link.process.stderr_tail() or str(error) or "It did not answer."
            log.warning("claude_code.start_failed", extra={"reason": reason})
            raise Unavailable(
                "The Claude Code agent could not be started.", details={"reason": reason}
            ) from error

    async def _drain_sdk(self, client: ClaudeSDKClient) -> None:
        """Keep the SDK's own stream empty: full, it would stop the control protocol."""
        with contextlib.suppress(Exception):
            async for message in client.receive_messages():
                if getattr(message, "subtype", "") == "mirror_error":
                    log.error("claude_code.transcript_not_stored", extra={"note": message})

    def _superseded(self) -> None:
        """Another server has started an agent on the conversation: there must be no two."""
        assert self._link is not None
        if not self._link.process.fault:
            log.warning("claude_code.superseded", extra={"conversation": self._setup.conversation})
        self._link.process.kill("Another server has taken the conversation over.")

    def _hear(self, frame: Frame) -> None:
        if frame.get("type") == "system" and "permissionMode" in frame:
            frame = self._with_believed_mode(frame)
        if self._run is not None:
            self._run.take(frame)

    def _with_believed_mode(self, frame: Frame) -> Frame:
        """The frame; without its permission mode where nobody let the agent go there.

        A tool can write into the agent's output, and no mode is to be had by that.
        """
        mode = frame["permissionMode"]
        if mode == self._setup.permission_mode:
            return frame
        if mode in self._granted or (mode == "plan" and self._may_plan):
            self._granted = [one for one in self._granted if one != mode]
            self._setup = replace(self._setup, permission_mode=mode)
            return frame
        log.warning("claude_code.mode_not_believed", extra={"mode": str(mode)[:64]})
        self._mode_in_doubt = True
        return {name: value for name, value in frame.items() if name != "permissionMode"}

    def _process_ended(self) -> None:
        if self._run is not None:
            self._run.process_ended()

    async def _ask(
        self, name: str, tool_input: dict[str, Any], context: ToolPermissionContext
    ) -> PermissionResultAllow | PermissionResultDeny:
        if self._run is None:
            return PermissionResultDeny(message=permissions.NO_RUN)
        answer = await self._run.ask(name, tool_input, context)
        updates = permissions.updates_of(answer)
        self._granted += [update.mode for update in updates if update.mode is not None]
        self._setup = replace(self._setup, granted=self._setup.granted | grants_of(updates))
        return answer

    async def answer(
        self, turn: Turn, host: Host, setup: Setup, purse: Purse
    ) -> AsyncGenerator[EngineEvent, None]:
        """Answer one turn. A run that is left before its end takes the process with it."""
        assert self._link is not None
        self._lease.open(turn.upstream, Allowance(setup.left, purse, setup.models))
        run = Run(self._link, turn, host)
        self._may_plan = permissions.may_plan(turn.config.get("permissionModes") or ())
        try:
            await self.switch(model=setup.model, permission_mode=setup.permission_mode)
            self._run = run
            async with aclosing(run.events()) as events:
                async for event in events:
                    yield event
        finally:
            if self._run is not None and not run.over:
                self._link.process.kill()
            self._run = None
            self._granted.clear()
            self._lease.shut()
            self.used_at = time.monotonic()
            await self._link.process.end_leftovers()

    async def switch(self, *, model: str | None = None, permission_mode: str | None = None) -> None:
        """Change model or permission mode of the live process, while its lease is open.

        The agent asks the upstream about a model that it does not know.

        Raises:
            ApiError: the upstream's refusal of the model, or
            Unavailable: the process does not take it.
        """
        assert self._link is not None
        client, setup = self._link.client, self._setup
        mode = cast("PermissionMode | None", permission_mode)
        try:
            async with asyncio.timeout(SWITCH_TIMEOUT):
                if model is not None and model != setup.model:
                    await client.set_model(model)
                    self._setup = replace(self._setup, model=model)
                if mode is not None and (self._mode_in_doubt or mode != setup.permission_mode):
                    self._granted.append(mode)  # it says so before it confirms
                    await client.set_permission_mode(mode)
                    self._setup = replace(self._setup, permission_mode=mode)
                    self._mode_in_doubt = False
        except Exception as error:  # Of the SDK's, some have no class of their own.
            if self._lease.failure is not None:
                raise upstream_problem(self._lease.failure) from error
            raise Unavailable("The agent does not take this change.") from error

    async def close(self) -> None:
        """End the process. Nothing that cancels the caller stops this."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._around.relay.revoke(self._lease)
        if self._link is not None:
            with contextlib.suppress(Exception):
                await self._link.client.disconnect()
            await self._link.process.close()
        if self._drain is not None:
            self._drain.cancel()
