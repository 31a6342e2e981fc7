"""What the front page says: true of the processes that live, and of the upstream there is now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console.overview import snapshot, upstream
from keys_app.models import ApiKey
from sessions_app import runstats
from sessions_app.models import Run, RunStat, ServerProcess

pytestmark = pytest.mark.django_db
NOW = timezone.now()
START = NOW - timedelta(hours=1)


@pytest.fixture
def alice() -> ApiKey:
    return ApiKey.objects.create(name="Alice", secret_hash="a" * 64)


@pytest.fixture
def ended(alice: ApiKey) -> Callable[..., None]:
    """A run that ended so many seconds ago."""

    def make(seconds: float, code: str = "") -> None:
        at = NOW - timedelta(seconds=seconds)
        run = Run(key=alice, created_at=at, error={"code": code} if code else None)
        runstats.record(run, "messages", f"model-{seconds}", at)

    return make


def process(silent: float, **facts: Any) -> ServerProcess:
    """A server process that was last heard of so many seconds ago."""
    return ServerProcess.objects.create(
        id=f"p{silent}",
        host="host",
        pid=int(silent) + 1,
        version="1",
        started_at=START,
        heartbeat_at=timezone.now() - timedelta(seconds=silent),
        facts=facts,
    )


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([], "unknown"),
        ([(5, "")], "working"),
        ([(5, "RUN_CANCELLED")], "unknown"),
        ([(5, "UPSTREAM_ERROR")], "failing"),
        ([(600, ""), (5, "UPSTREAM_ERROR")], "failing"),
        ([(10, ""), (5, "UPSTREAM_ERROR")], "unsteady"),
        ([(60, "UPSTREAM_ERROR"), (5, "")], "unsteady"),
        ([(900, "UPSTREAM_ERROR"), (5, "")], "working"),
        ([(4000, "")], "unknown"),
        ([(4000, ""), (5, "UPSTREAM_TIMEOUT")], "failing"),
    ],
)
def test_the_upstream_stands_as_its_last_outcomes_say(
    outcomes: list[tuple[int, str]], state: str, ended: Callable[..., None]
) -> None:
    for outcome in outcomes:
        ended(*outcome)
    assert upstream.since(START, NOW).state == state


def test_what_a_former_upstream_did_is_not_told_of_this_one(ended: Callable[..., None]) -> None:
    ended(4000)
    ended(5, "UPSTREAM_ERROR")
    standing = upstream.since(START, NOW)
    assert standing.ok is None
    assert standing.error is not None
    assert standing.error["code"] == "UPSTREAM_ERROR"


def test_a_process_that_is_gone_counts_for_nothing_and_is_soon_forgotten(
    signed_in: Callable[..., Client],
) -> None:
    held = {"runs": 1, "streams": 3, "agents": 14, "agentsMemory": 1000}
    process(1, **held)
    process(60, **held)
    process(400, **held)
    seen = snapshot.take()
    assert (seen.streams, seen.agents, seen.agents_memory) == (3, 14, 1000)
    assert [worker.alive for worker in seen.workers] == [True, False]
    page = signed_in("viewer").get("/admin/").content.decode()
    assert "gone, silent for 6" in page
    assert page.count(">14<") == 2  # the figure, and the row of the one that lives


def test_what_somebody_cancelled_is_no_error(ended: Callable[..., None]) -> None:
    ended(5, "RUN_CANCELLED")
    ended(5, "UPSTREAM_ERROR")
    RunStat.objects.update(at=timezone.now())
    assert snapshot.take().errors == [{"code": "UPSTREAM_ERROR", "runs": 1}]


def test_figures_lead_to_what_they_count(signed_in: Callable[..., Client]) -> None:
    page = signed_in("viewer").get("/admin/").content.decode()
    assert 'href="/admin/runs/?status=queued"' in page
    assert 'href="/admin/approvals/"' in page
