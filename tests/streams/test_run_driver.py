"""One run, driven in this process, by an engine that does what no decent engine would."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from django.utils import timezone

from claudeapi.core.database import close_connections, in_db
from keys_app.models import ApiKey
from sessions_app import eventlog, metrics, recovery, runs, service
from sessions_app import queued as queued_runs
from sessions_app.doorbell import LayerDoorbell
from sessions_app.driver import CANCEL_GRACE, RunDriver
from sessions_app.engines import registry
from sessions_app.engines.base import Host, Turn
from sessions_app.engines.events import EngineEvent, Finished, Usage
from sessions_app.models import Run, Session
from sessions_app.runner import runner
from sessions_app.runs import Claim

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def _threads() -> AsyncIterator[None]:
    yield
    await close_connections()


class OddEngine:
    """Says what the test wants it to."""

    name = "odd"

    def __init__(self, *said: EngineEvent) -> None:
        self._said = said

    async def run(self, turn: Turn, host: Host) -> AsyncIterator[EngineEvent]:
        for event in self._said:
            yield event

    async def aclose(self) -> None:
        """It has nothing."""


class ActingEngine(OddEngine):
    """Leaves something to be done with what is written at the end."""

    acted = False

    def _act(self) -> None:
        self.acted = True

    async def run(self, turn: Turn, host: Any) -> AsyncIterator[EngineEvent]:
        host._writer._acts.append(self._act)
        async for event in super().run(turn, host):
            yield event


class OvertakenEngine(OddEngine):
    """Answers a run that another process ends meanwhile."""

    async def run(self, turn: Turn, host: Host) -> AsyncIterator[EngineEvent]:
        await in_db(Session.objects.filter(pk=turn.session_id).update, writer=None)
        yield Finished("completed", "hello")


class LateEngine(OddEngine):
    """Ends when it is told to, but not at once."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Event()

    async def run(self, turn: Turn, host: Host) -> AsyncIterator[EngineEvent]:
        self.begun.set()
        await host.cancelled.wait()
        await asyncio.sleep(0.5)
        yield Finished("cancelled")


class DeafEngine(OddEngine):
    """Does not end when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.closed = asyncio.Event(), asyncio.Event()

    async def run(self, turn: Turn, host: Host) -> AsyncIterator[EngineEvent]:
        self.begun.set()
        try:
            await asyncio.Event().wait()
            yield Finished("completed")
        finally:
            self.closed.set()


class RecordingLayer:
    """A channel layer that remembers what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.sent.append((group, message))


def queued() -> Run:
    key = ApiKey.objects.create(name="Alice", secret_hash=uuid4().hex)
    later = timezone.now() + timedelta(hours=1)
    session = Session.objects.create(
        key=key, engine="odd", model="m", timeout_ms=1000, expires_at=later
    )
    made: Run = Run.objects.create(session=session, key=key, prompt=[], owner=runs.PROCESS_ID)
    return made


def behind(live: Run, **fields: Any) -> Run:
    """A run that waits for the end of another one."""
    of = {"session_id": live.session_id, "key_id": live.key_id, "owner": runs.PROCESS_ID}
    made: Run = Run.objects.create(prompt=[], **of, **fields)
    return made


def long_ago() -> datetime:
    """Before anything that a claim may still be on its way from."""
    return timezone.now() - timedelta(seconds=2 * recovery.CLAIM_SECONDS)


def claimed() -> Claim:
    claim = runs.claim_next(queued().session_id)
    assert claim is not None
    return claim


def provide(engine: Any) -> None:
    registry.provide("odd", lambda: engine)
    registry._instances.pop("odd", None)


async def driven(*said: EngineEvent) -> Run:
    """The row of a run whose engine says this."""
    return await driven_by(OddEngine(*said))


async def driven_by(engine: OddEngine) -> Run:
    """The row of a run that this engine answers."""
    provide(engine)
    claim = await in_db(claimed)
    driver = RunDriver(claim)
    async with asyncio.timeout(20):
        await driver.drive()
    driver.close()
    return await in_db(Run.objects.get, pk=claim.run.pk)


async def begun(engine: LateEngine | DeafEngine) -> Run:
    """A run that this engine is answering."""
    provide(engine)
    run = await in_db(queued)
    runner._spawn(runner._drive_session(run.session_id))
    async with asyncio.timeout(20):
        await engine.begun.wait()
    return run


async def test_an_end_that_no_database_takes_becomes_a_bare_one() -> None:
    row = await driven(Finished("completed", "hello", None, Usage(1), Decimal("1e20")))
    assert (row.status, row.error["code"]) == ("failed", "INTERNAL_ERROR")
    assert row.last_event_id > row.first_event_id


async def test_an_end_that_cannot_be_told_is_paid_for_and_keeps_what_belongs_to_its_events() -> (
    None
):
    engine = ActingEngine(Finished("completed", "half \ud800", None, Usage(7), Decimal("0.5"), "m"))
    row = await driven_by(engine)
    assert (row.status, row.error["code"], row.response) == ("failed", "INTERNAL_ERROR", "")
    assert (row.input_tokens, row.cost_usd, row.model) == (7, Decimal("0.5"), "m")
    assert (await in_db(Session.objects.get, pk=row.session_id)).cost_usd == Decimal("0.5")
    assert engine.acted


async def test_a_cost_is_told_as_it_is_kept() -> None:
    row = await driven(Finished("completed", usage=Usage(1), cost_usd=Decimal("0.123456785000001")))
    end = (await in_db(eventlog.read, row.session_id, row.last_event_id - 1))[0]
    assert orjson.loads(end.data)["costUsd"] == str(row.cost_usd) == "0.12345679"


async def test_what_the_upstream_said_is_kept_without_what_a_database_refuses() -> None:
    odd: Any = Finished("completed", "a\x00b", 7, model="m\x00")  # type: ignore[arg-type]
    row = await driven(odd)
    assert (row.status, row.response, row.stop_reason) == ("completed", "a\ufffdb", "7")
    assert row.model == "m\ufffd"


async def test_only_the_process_that_ends_a_run_counts_it() -> None:
    completed = metrics.RUNS.labels("odd", "completed", "")._value
    before = completed.get()
    await driven(Finished("completed"))
    assert completed.get() == before + 1
    row = await driven_by(OvertakenEngine())
    assert row.status == "running", "its end was not this process's to write"
    assert completed.get() == before + 1


async def test_a_server_that_stops_sees_its_runs_end() -> None:
    engine = LateEngine()
    run = await begun(engine)
    async with asyncio.timeout(20):
        await service.stop()
    row = await in_db(Run.objects.get, pk=run.pk)
    assert (row.status, row.error["details"]) == ("cancelled", {"reason": "draining"})


async def test_a_run_that_another_process_has_ended_gets_no_time_to_stop() -> None:
    engine = DeafEngine()
    run = await begun(engine)
    await in_db(Run.objects.filter(pk=run.pk).update, status="failed")
    await in_db(Session.objects.filter(pk=run.session_id).update, writer=None)
    async with asyncio.timeout(CANCEL_GRACE / 2):
        await runner.look_at_all()
        await engine.closed.wait()
        await runner.drain(CANCEL_GRACE)
    assert runner.running == 0


async def test_a_claim_that_is_slow_to_be_told_of_is_not_a_lost_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claimed, told, claim_next = threading.Event(), threading.Event(), runs.claim_next

    def slow(session_id: UUID) -> Claim | None:
        claim = claim_next(session_id)
        Run.objects.filter(session_id=session_id).update(started_at=long_ago())
        claimed.set()
        told.wait(20)
        return claim

    provide(OddEngine(Finished("completed")))
    monkeypatch.setattr(runs, "claim_next", slow)
    run = await in_db(queued)
    driving = asyncio.create_task(runner._drive_session(run.session_id))
    assert await asyncio.to_thread(claimed.wait, 20)
    monkeypatch.setattr(runs, "claim_next", claim_next)
    await runner.recover_undriven()
    told.set()
    await asyncio.wait_for(driving, 20)
    assert (await in_db(Run.objects.get, pk=run.pk)).status == "completed"


async def test_a_run_that_begins_while_the_database_stalls_is_not_a_lost_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stalls, look = threading.Event(), recovery.recover_undriven

    def stalled(*what: Any) -> list[tuple[UUID, int]]:
        assert stalls.wait(20)
        later = timezone.now() + timedelta(minutes=1)
        with monkeypatch.context() as patched:
            patched.setattr(timezone, "now", lambda: later)
            return look(*what)

    monkeypatch.setattr(recovery, "recover_undriven", stalled)
    looking = asyncio.create_task(runner.recover_undriven())
    await asyncio.sleep(0)
    engine = LateEngine()
    run = await begun(engine)
    stalls.set()
    await asyncio.wait_for(looking, 20)
    assert (await in_db(Run.objects.get, pk=run.pk)).status == "running"
    await runner.drain(0)


async def test_a_run_that_another_process_shall_stop_is_handed_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await in_db(queued)
    await in_db(Run.objects.filter(pk=run.pk).update, owner="another", cancel_reason="cancelled")
    layer = RecordingLayer()
    bell = LayerDoorbell()
    monkeypatch.setattr(bell, "_layer", layer)
    monkeypatch.setattr("sessions_app.runner.doorbell", bell)
    runner._look_soon(run.pk)
    await asyncio.wait_for(asyncio.gather(*runner._tasks), 20)
    assert layer.sent == [("process.another", {"type": "advance", "session": run.session_id.hex})]


async def test_one_bell_ends_all_that_were_stopped_and_holds_one_prompt_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = LateEngine()
    live = await begun(engine)
    waiting = [await in_db(behind, live, cancel_reason="cancelled") for _ in range(5)]
    patient = await in_db(behind, live)
    held: list[int] = []
    stopped, conclude = queued_runs.stopped, queued_runs.conclude

    def load(run_id: UUID) -> Run | None:
        held.append(1)
        return stopped(run_id)

    def end(run: Run) -> None:
        held.append(-1)
        conclude(run)

    monkeypatch.setattr(queued_runs, "stopped", load)
    monkeypatch.setattr(queued_runs, "conclude", end)
    told = [runner._look_at_queued(run.pk) for run in waiting[:2]]
    await asyncio.wait_for(asyncio.gather(*told), 20)
    assert held == [1, -1] * len(waiting)
    rows = await in_db(Run.objects.in_bulk)
    assert {rows[run.pk].status for run in waiting} == {"cancelled"}
    assert (rows[live.pk].status, rows[patient.pk].status) == ("running", "queued")
    await in_db(Run.objects.filter(pk=patient.pk).update, cancel_reason="cancelled")
    await runner.drain(0)
