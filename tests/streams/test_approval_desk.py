"""The questions of a run, from the asking to their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.utils import timezone

from claudeapi.core import database, errors
from claudeapi.core.database import close_connections, in_db
from keys_app.models import ApiKey
from sessions_app import eventlog, logwriter, runs
from sessions_app.actions.approvals import decide
from sessions_app.approvals import ApprovalDesk
from sessions_app.driver import RunDriver
from sessions_app.engines.base import Question
from sessions_app.logwriter import Act
from sessions_app.models import Approval, Run, Session

pytestmark = pytest.mark.django_db(transaction=True)
QUESTION = Question("tool-1", "Bash", {"command": "ls"})
SOON = timedelta(minutes=5)


@pytest.fixture(autouse=True)
async def _threads() -> AsyncIterator[None]:
    yield
    await close_connections()


class Told(asyncio.Queue[Approval]):
    """What a desk has told of."""

    async def tell(self, row: Approval, act: Act | None) -> None:
        if act is not None:
            await in_db(act)
        self.put_nowait(row)


def a_run(**fields: str) -> Run:
    key = ApiKey.objects.create(name="Alice", secret_hash=uuid4().hex)
    session = Session.objects.create(
        key=key, engine="messages", model="m", timeout_ms=1, expires_at=timezone.now() + SOON
    )
    of = {"owner": runs.PROCESS_ID, "status": "running", **fields}
    made: Run = Run.objects.create(session=session, key=key, prompt=[], **of)
    return made


def asked_beside(run: Run) -> Approval:
    return Approval.objects.create(
        session_id=run.session_id, run=run, tool_name="Read", expires_at=timezone.now() + SOON
    )


async def test_a_question_that_is_taken_back_says_so() -> None:
    told = Told()
    desk = ApprovalDesk(await in_db(a_run), told.tell)
    asking = asyncio.create_task(desk.decide(QUESTION))
    assert (await told.get()).status == "pending"
    asking.cancel()
    end = await told.get()
    assert (end.status, end.message) == ("cancelled", "The agent took its question back.")
    await desk.close()


async def test_a_question_that_nobody_heard_of_is_not_left_open() -> None:
    acts: list[Act] = []

    async def fail(row: Approval, act: Act | None) -> None:
        assert act is not None
        if not acts:
            await in_db(act)  # its answer was lost
        acts.append(act)
        raise OSError("no log")

    desk = ApprovalDesk(await in_db(a_run), fail)
    for _ in range(2):
        with pytest.raises(OSError, match="no log"):
            await desk.decide(QUESTION)
    for act in acts:
        await in_db(act)  # the log is written after all
    rows = await in_db(lambda: list(Approval.objects.values_list("status", flat=True)))
    assert rows == ["cancelled", "cancelled"]
    assert (await in_db(Run.objects.get)).status == "running"


async def test_a_question_is_written_with_its_event_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await in_db(a_run)
    session = await in_db(Session.objects.get)
    driver = RunDriver(runs.Claim(run, session, *await in_db(eventlog.acquire, session.id, run.id)))
    loop, tried, away = asyncio.get_running_loop(), asyncio.Event(), [True]

    def flush(*arguments: Any) -> None:
        loop.call_soon_threadsafe(tried.set)
        if away[0]:
            raise OperationalError("the database is restarting")
        eventlog.flush(*arguments)

    monkeypatch.setattr(logwriter, "flush", flush)
    monkeypatch.setattr(database, "RETRY_SECONDS", 0)

    asking = asyncio.create_task(driver.decide(QUESTION))
    async with asyncio.timeout(10):
        await tried.wait()
        assert not await in_db(Approval.objects.exists)  # as a kill would leave it now
        away[0] = False
        while not await in_db(Approval.objects.exists):
            pass
    [event] = await in_db(eventlog.read, session.id, 0)
    driver.cancel("cancelled")
    await asking
    driver.close()

    row = await in_db(Approval.objects.get)
    assert (event.name, row.status) == ("approval", "cancelled")
    assert str(row.id) in event.data.decode()


async def test_a_run_waits_for_as_long_as_any_question_is_open() -> None:
    told, run = Told(), await in_db(a_run)
    desk = ApprovalDesk(run, told.tell)
    asking = asyncio.create_task(desk.decide(QUESTION))
    await told.get()
    other = await in_db(asked_beside, run)
    desk.cancel_all()
    await asking
    assert (await in_db(Run.objects.get)).status == "waiting"
    await in_db(other.settle, "denied")
    await desk.decide(QUESTION)
    assert (await in_db(Run.objects.get)).status == "running"


def test_an_answer_to_the_question_of_a_dead_process_is_refused() -> None:
    run = a_run(owner="gone", status="waiting")
    with pytest.raises(errors.ApprovalResolved):
        decide(asked_beside(run), allow=True, decided_by="alice")
    run.refresh_from_db()
    assert run.error["code"] == "RUN_LOST"
