"""A stream ends with its last event, also where the database knew of it before the hub did."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from claudeapi.core.database import close_connections, in_db
from keys_app.models import ApiKey
from sessions_app import eventlog, payloads, runs
from sessions_app.hub import Event
from sessions_app.models import Run, RunStatus, Session, SessionStatus
from sessions_app.runs import Claim, Outcome
from sessions_app.streaming.http import StreamExchange

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def _threads() -> AsyncIterator[None]:
    yield
    await close_connections()


def begun_run() -> Claim:
    key = ApiKey.objects.create(name="Alice", secret_hash=uuid4().hex)
    session = Session.objects.create(
        key=key,
        engine="messages",
        model="m",
        timeout_ms=1,
        expires_at=timezone.now(),
        status=SessionStatus.ENDED,
    )
    run = Run.objects.create(session=session, key=key, prompt=[], status=RunStatus.RUNNING)
    with transaction.atomic():
        return Claim(run, session, *eventlog.acquire(session.id, run.id))


def concluded(claim: Claim) -> Event:
    """Its end, committed and not yet shown."""
    encoder = payloads.Encoder(claim.session.id, claim.run.id, "")
    return runs.conclude(claim, Outcome(RunStatus.COMPLETED), encoder, [], [], claim.start - 1)


@pytest.mark.parametrize("of_one_run", [True, False])
async def test_an_end_that_is_written_and_not_yet_shown_is_sent(of_one_run: bool) -> None:
    claim = await in_db(begun_run)
    stream: Any = StreamExchange()
    events = stream._events(claim.session, claim.run if of_one_run else None, 0)
    async with aclosing(events) as batches:
        assert not await anext(batches)
        end = await in_db(concluded, claim)
        sent = [batch async for batch in batches]
    assert [event for batch in sent for event in batch] == [end]
