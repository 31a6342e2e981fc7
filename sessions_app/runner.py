"""The runs of this process: started, looked at, drained.

A run never depends on a connection: clients come and go, the runner goes on unless asked
to stop.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any
from uuid import UUID

import structlog
from django.db import DatabaseError

from claudeapi.core.database import in_db
from claudeapi.core.errors import ApiError
from claudeapi.core.lifecycle import state
from claudeapi.core.process import PROCESS_ID
from sessions_app import agents, homes, queued, recovery, runs
from sessions_app.doorbell import doorbell
from sessions_app.driver import CANCEL_GRACE, RunDriver
from sessions_app.engines import registry
from sessions_app.eventlog import LostOwnership
from sessions_app.hub import hub
from sessions_app.models import RunStatus
from sessions_app.runs import Claim

log = structlog.get_logger(__name__)

CLAIM_RETRY_SECONDS = 1.0


class Runner:
    """The runs of this process."""

    def __init__(self) -> None:
        self._drivers: dict[UUID, RunDriver] = {}
        self._claiming: list[UUID] = []
        self._early: set[UUID] = set()
        self._to_release: set[UUID] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def running(self) -> int:
        """Runs this process drives now."""
        return len(self._drivers)

    def start(self) -> None:
        """Attach to the event loop and begin to hear other processes."""
        self._loop = asyncio.get_running_loop()
        doorbell.start(self._look_soon, self.advance, self._look_at_agent_soon)

    def advance(self, session_id: UUID, owner: str = PROCESS_ID) -> None:
        """Have the session's queued runs driven. From any thread, after the commit."""
        if owner != PROCESS_ID:
            doorbell.hand_over(owner, session_id)
            return
        if self._loop is None:
            return  # a management command: a server's sweep will pick it up
        self._loop.call_soon_threadsafe(self._spawn, self._drive_session(session_id))

    def nudge(self, run_id: UUID, owner: str) -> None:
        """A run's rows have changed: let its owner look. From a thread, after the commit."""
        if owner == PROCESS_ID and self._loop is not None:
            self._loop.call_soon_threadsafe(self._look_soon, run_id)
        elif owner:
            doorbell.call(owner, run_id)

    def release(self, session_id: UUID, engine: str) -> None:
        """A session is over: wake its followers, free what the engine holds. From a thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._spawn, self._release(session_id, engine))

    def configure(
        self, session_id: UUID, engine: str, *, model: str | None, permission_mode: str | None
    ) -> None:
        """Tell a live agent of a change. From a thread, after the commit."""
        if self._loop is not None and (model or permission_mode):
            work = self._configure(session_id, engine, model, permission_mode)
            self._loop.call_soon_threadsafe(self._spawn, work)

    def recovered(self, lost: list[tuple[UUID, int]], waiting: list[UUID]) -> None:
        """Runs of dead processes were ended, and others are queued: go on from there."""
        for session_id, last in lost:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._spawn, self._tell(session_id, last))
        for session_id in [*waiting, *(session_id for session_id, _ in lost)]:
            self.advance(session_id)

    async def recover_undriven(self) -> None:
        """End the runs that are ours by the database, and that nobody drives."""
        driven = recovery.Driven(list(self._drivers), list(self._claiming))
        self.recovered(await in_db(recovery.recover_undriven, driven), [])

    async def look_at_all(self) -> None:
        """Read what somebody wants of our runs: a bell may have been lost."""
        self._early.clear()
        if self._drivers:
            await self._look(dict(self._drivers))
            drivers = {driver.claim.session.id: driver for driver in self._drivers.values()}
            for session_id in await in_db(queued.sessions_with_stopped, list(drivers)):
                await self._end_behind(drivers[session_id])

    def look_at_agents(self) -> None:
        """We may have been thought dead: let go of every agent that another process has now."""
        for session_id in agents.live_sessions():
            self._look_at_agent_soon(session_id)

    async def drain(self, seconds: float) -> None:
        """Let runs finish for so long, then cancel them and see them end."""
        await self._wait_for_runs(seconds)
        for driver in self._drivers.values():
            driver.cancel("draining")
        await self._wait_for_runs(CANCEL_GRACE + 2)

    async def _wait_for_runs(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._tasks:
                    await asyncio.wait(set(self._tasks))

    def _look_soon(self, run_id: UUID) -> None:
        if driver := self._drivers.get(run_id):
            self._spawn(self._look({run_id: driver}))
        else:
            self._early.add(run_id)  # if it is being claimed, it looks when it begins
            self._spawn(self._look_at_queued(run_id))

    async def _look(self, drivers: dict[UUID, RunDriver]) -> None:
        for run_id, reason in (await in_db(runs.cancel_reasons, list(drivers))).items():
            drivers[run_id].cancel(reason)
        for driver in drivers.values():
            await driver.look_at_answers()

    async def _look_at_queued(self, run_id: UUID) -> None:
        """A run that waits its turn was told to stop: end it at once, and all that were."""
        run, driven_by = await in_db(queued.look_at, run_id)
        if run is None:
            self._early.discard(run_id)
        if run is None or run.status != RunStatus.QUEUED or not run.cancel_reason:
            return
        live = [d for d in self._drivers.values() if d.claim.session.id == run.session_id]
        if live:
            await self._end_behind(live[0])
            self._early.discard(run_id)
        elif driven_by not in ("", PROCESS_ID):
            await in_db(doorbell.call, driven_by, run_id)
        else:
            # Nothing is before it, but for a moment. Another owner is called from a thread.
            await in_db(self.advance, run.session_id, run.owner)

    async def _end_behind(self, driver: RunDriver) -> None:
        with suppress(LostOwnership):  # then whoever has taken over ends them
            await driver.end_queued()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        # A clean context: a request's context would keep its database handles alive.
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, session_id: UUID, last: int) -> None:
        if topic := hub.get(session_id):
            topic.tell(last)
        doorbell.ring(session_id, last)

    def _look_at_agent_soon(self, session_id: UUID) -> None:
        self._spawn(self._look_at_agent(session_id))

    async def _look_at_agent(self, session_id: UUID) -> None:
        """Another process has changed or ended the session, or has taken it over."""
        wanted = await in_db(homes.agent_here, session_id)
        if wanted is None:
            await self._release(session_id, agents.CLAUDE_CODE)
        else:
            await self._configure(session_id, agents.CLAUDE_CODE, *wanted)

    async def _configure(
        self, session_id: UUID, engine: str, model: str | None, permission_mode: str | None
    ) -> None:
        live = registry.running(engine)
        if live is None:
            return
        try:
            await live.configure(str(session_id), model=model, permission_mode=permission_mode)
        except ApiError as error:
            # The next message tells its sender; the run in progress goes on as it was.
            log.warning("live_change_not_taken", session=str(session_id), code=error.code)

    async def _release(self, session_id: UUID, engine: str) -> None:
        if topic := hub.get(session_id):
            topic.wake()
        if any(driver.claim.session.id == session_id for driver in self._drivers.values()):
            self._to_release.add(session_id)  # once its run has been stopped
        elif live := registry.running(engine):
            await live.release(str(session_id))

    async def _drive_session(self, session_id: UUID) -> None:
        # While draining what is queued stays so, for another process or the next start.
        while not state.draining:
            try:
                claim = await self._claim(session_id)
            except DatabaseError:
                log.exception("run_not_claimed", session=str(session_id))
                await asyncio.sleep(CLAIM_RETRY_SECONDS)
                continue
            if claim is None:
                return
            await self._drive(claim)

    async def _claim(self, session_id: UUID) -> Claim | None:
        self._claiming.append(session_id)
        try:
            return await in_db(runs.claim_next, session_id)
        finally:
            self._claiming.remove(session_id)

    async def _drive(self, claim: Claim) -> None:
        run = claim.run
        driver = RunDriver(claim)
        self._drivers[run.id] = driver
        structlog.contextvars.bind_contextvars(
            request_id=run.request_id, session=str(run.session_id), run=str(run.id)
        )
        try:
            if run.cancel_reason:
                driver.cancel(run.cancel_reason)
            early, self._early = self._early, set()
            for run_id in early:  # this one, or one that waits behind it
                self._look_soon(run_id)
            await driver.drive()
        finally:
            del self._drivers[run.id]
            driver.close()
            if run.session_id in self._to_release:
                self._to_release.discard(run.session_id)
                await self._release(run.session_id, claim.session.engine)
        log.info("run_finished", status=run.status, duration_ms=run.duration_ms)


runner = Runner()
