"""Drives one run, from the user's message to its truthful end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError
from django.utils import timezone

from claudeapi.core import errors
from claudeapi.core.database import in_db
from sessions_app import metrics, payloads, queued, runs, turns
from sessions_app.approvals import ApprovalDesk
from sessions_app.engines import registry
from sessions_app.engines.base import Decision, Question, Turn
from sessions_app.engines.events import Delta, EngineEvent, Finished, Spent, Usage, Whole
from sessions_app.eventlog import LostOwnership
from sessions_app.hub import Event
from sessions_app.logwriter import Act, LogWriter, WriteEnd
from sessions_app.models import Approval, Message, Run, RunStatus
from sessions_app.runs import Claim, Outcome

log = structlog.get_logger(__name__)

CANCEL_GRACE = 10.0
CONCLUDE_RETRY_SECONDS = 1.0


class RunDriver:
    """Drives one claimed run; the `Host` of its engine."""

    def __init__(self, claim: Claim) -> None:
        run, session = claim.run, claim.session
        self.claim = claim
        self.cancelled = asyncio.Event()
        self._reason = ""
        self._writer = LogWriter(session.id, run.id, claim.start, claim.limit)
        self._encoder = payloads.Encoder(session.id, run.id, session.claude_session_id)
        self._outcome = Outcome(RunStatus.FAILED.value)
        self._desk = ApprovalDesk(run, self._tell_approval)
        self._ending = False
        self._interlude = asyncio.Lock()
        self._clearing = asyncio.Lock()
        self._ended: set[UUID] = set()

    def cancel(self, reason: str) -> None:
        """Ask the run to stop: `cancelled`, `timeout`, `interrupted`, `draining` or `lost`."""
        if not self.cancelled.is_set():
            self._reason = reason
            self.cancelled.set()
            self._desk.cancel_all()

    async def look_at_answers(self) -> None:
        """See which open approvals have been answered."""
        await self._desk.look()

    async def decide(self, question: Question) -> Decision:
        """Wait for somebody's yes or no (the engine calls it)."""
        return await self._desk.decide(question)

    async def end_queued(self) -> None:
        """End the runs that were stopped while they wait behind this one.

        One after the other, for each has its prompt. The log is ours, so its two events, and its
        end with them, go in among our own. Once we are about to end it is too late: then it is
        taken next, and ends by itself.

        Raises:
            LostOwnership: another process has taken our run over.
        """
        async with self._clearing:
            for run_id in await in_db(queued.stopped_in, self.claim.session.id):
                await self._end_queued(run_id)

    async def _end_queued(self, run_id: UUID) -> None:
        async with self._interlude:
            if self._ending or run_id in self._ended:
                return
            run = await in_db(queued.stopped, run_id)
            if run is None:
                return
            number = await self._writer.number()
            self._ended.add(run_id)
            queued.settle(run, number)
            session = self.claim.session
            encoder = payloads.Encoder(session.id, run.id, session.claude_session_id)
            body = self._user_message(run)
            said = self._message(run, number, body, "user")
            self._writer.append(encoder.message(number, body), said)
            told = encoder.error(number + 1, run)
            await self._writer.append_durably(told, act=lambda: queued.conclude(run))

    async def drive(self) -> None:
        """From the user's message to the last event."""
        run = self.claim.run
        timer = self._start_timer()
        try:
            await self._append_message(self._user_message(run), source="user", urgent=True)
            if self._stopped_early():
                raise errors.RunCancelled()  # while it was queued: the engine never sees it
            await self._answer(await in_db(turns.turn_of, self.claim))
        except LostOwnership:
            await self._lost()
            return
        except errors.ApiError as error:
            self._fail(error)
        except Exception:
            log.exception("run_failed")
            self._fail(errors.InternalError())
        finally:
            if timer is not None:
                timer.cancel()
            await self._desk.close()
        await self._conclude()

    async def _answer(self, turn: Turn) -> None:
        """Let the engine work; give up on it when it does not stop in time.

        Raises:
            LostOwnership: another process has ended the run: it gets no time.
        """
        work = asyncio.ensure_future(self._consume(turn))
        stop = asyncio.ensure_future(self.cancelled.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                lost = self._reason == runs.LOST
                await asyncio.wait({work}, timeout=0 if lost else CANCEL_GRACE)
            if not work.done():
                work.cancel()
                await asyncio.wait({work})
                if lost:
                    raise LostOwnership(str(self.claim.run.id))
                log.error("engine_did_not_stop")
                raise errors.RunCancelled()
            work.result()
        finally:
            stop.cancel()

    async def _consume(self, turn: Turn) -> None:
        session = self.claim.session
        engine = registry.get(session.engine)
        writer, encoder = self._writer, self._encoder
        async with aclosing(engine.run(turn, self)) as events:
            async for event in events:
                if type(event) is Delta:
                    number = await writer.number() if writer.is_full else writer.last + 1
                    writer.append(encoder.delta(number, event.raw))
                    if self._outcome.first_delta_at is None:
                        self._outcome.first_delta_at = timezone.now()
                else:
                    await self._take_rare(event)

    async def _take_rare(self, event: EngineEvent) -> None:
        if isinstance(event, Whole):
            await self._append_message(
                event.body, source="sdk", urgent=event.urgent, kept=event.kept
            )
            await self._keep_mode(event.body)
        elif isinstance(event, Spent):
            self._outcome.usage, self._outcome.cost_usd = event.usage, event.cost_usd
            self._outcome.model = event.model or self._outcome.model
        elif isinstance(event, Finished):
            self._take(event)

    async def _keep_mode(self, body: dict[str, Any]) -> None:
        """An approved plan, or a yes for the session, may switch the mode: keep that."""
        mode, config = body.get("permissionMode"), self.claim.config
        if not mode or (body.get("type"), body.get("subtype")) != ("system", "status"):
            return
        allowed = mode in config.get("permissionModes", ())
        if allowed and mode != config.get("permissionMode", "default"):
            config["permissionMode"] = mode
            await in_db(runs.keep_mode, self.claim.session.id, mode)

    def _take(self, end: Finished) -> None:
        outcome = self._outcome
        if end.usage != Usage():
            outcome.usage, outcome.cost_usd = end.usage, end.cost_usd
        outcome.model = end.model or outcome.model
        outcome.response, outcome.stop_reason = end.text, end.stop_reason or ""
        outcome.status = end.status
        if end.status == "cancelled":
            self._fail(errors.RunCancelled())

    def _fail(self, error: errors.ApiError) -> None:
        """Settle on an error; what the caller or an operator did outranks what it caused."""
        outcome = self._outcome
        outcome.status = RunStatus.FAILED.value
        outcome.error = error
        if self.cancelled.is_set():
            outcome.status = RunStatus.CANCELLED.value
            outcome.error = runs.cancellation(self._reason)

    def _stopped_early(self) -> bool:
        self._outcome.begun = not self.cancelled.is_set()
        return not self._outcome.begun

    def _user_message(self, run: Run) -> dict[str, Any]:
        return payloads.user_message(run.prompt, self.claim.session.claude_session_id)

    async def _append_message(
        self, body: dict[str, Any], *, source: str, urgent: bool = False, kept: bool = True
    ) -> None:
        number = await self._writer.number()
        event = self._encoder.message(number, body)
        message = self._message(self.claim.run, number, body, source) if kept else None
        if urgent:
            await self._writer.append_durably(event, message)
        else:
            self._writer.append(event, message)

    def _message(self, run: Run, number: int, body: dict[str, Any], source: str) -> Message:
        return Message(
            id=run.message_id if source == "user" else None,
            session_id=run.session_id,
            run_id=run.id,
            sequence=number,
            type=str(body.get("type", ""))[:32],
            subtype=str(body.get("subtype") or "")[:64],
            source=source,
            content=body,
            created_at=timezone.now(),
        )

    async def _tell_approval(self, row: Approval, act: Act | None) -> None:
        number = await self._writer.number()
        await self._writer.append_durably(self._encoder.approval(number, row), act=act)

    def _start_timer(self) -> asyncio.TimerHandle | None:
        left = self.claim.run.seconds_left
        if left is None:
            return None
        if left <= 0:
            self.cancel("timeout")
        return asyncio.get_running_loop().call_later(left, self.cancel, "timeout")

    async def _conclude(self) -> None:
        """Write the end, for as long as the database takes: a run must not run for ever."""
        async with self._interlude:
            self._ending = True
        if self._outcome.error is None and self._outcome.status == RunStatus.FAILED:
            self._outcome.error = errors.UpstreamError("The engine ended without an outcome.")
        try:
            await self._write(self._write_end)
        except Exception:
            # It will not go in, however often it is tried: a bare end does.
            log.exception("run_not_concluded")
            await self._conclude_barely()

    async def _conclude_barely(self) -> None:
        """Write an end without what was said: with what it has cost, if that goes in."""
        spent, bare = self._outcome, Outcome(RunStatus.FAILED.value, errors.InternalError())
        self._outcome = replace(bare, usage=spent.usage, cost_usd=spent.cost_usd, model=spent.model)
        try:
            await self._write(lambda events, _, acts: self._write_end(events, [], acts))
        except Exception:
            log.exception("cost_not_written")
            self._outcome = bare
            await self._write(lambda events, *_: self._write_end(events, [], []))

    async def _write(self, end: WriteEnd) -> None:
        while True:
            try:
                await self._writer.conclude(end)
                metrics.count_run(self.claim.run, self.claim.session.engine)
            except LostOwnership:
                await self._lost()  # whoever has ended it counts it
            except (OperationalError, InterfaceError):
                log.exception("run_not_concluded")
                await asyncio.sleep(CONCLUDE_RETRY_SECONDS)
                continue
            return

    async def _lost(self) -> None:
        log.warning("run_lost_ownership")
        await self._writer.give_up()

    def _write_end(
        self, events: Sequence[Event], messages: Sequence[Message], acts: Sequence[Act]
    ) -> Event:
        encoder, last = self._encoder, self._writer.last
        return runs.conclude(self.claim, self._outcome, encoder, events, messages, last, acts)

    def close(self) -> None:
        """Let go of the log."""
        self._writer.close()
