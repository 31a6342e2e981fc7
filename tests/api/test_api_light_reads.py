"""What nobody asks for stays in the database; what everybody asks for is asked once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event, Semaphore
from time import monotonic

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from claudeapi.core.errors import SessionBusy
from keys_app.models import ApiKey
from sessions_app import stats, switch
from sessions_app.actions.lookup import find_approval, find_run
from sessions_app.actions.messages import NewMessage, send_message
from sessions_app.api import pages
from sessions_app.api import representations as show
from sessions_app.models import Approval, Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def run() -> Iterator[Run]:
    later = timezone.now() + timedelta(hours=1)
    key = ApiKey.objects.create(name="Alice", secret_hash="x")
    session = key.sessions.create(engine="messages", model="m", timeout_ms=1000, expires_at=later)
    switch.forget()
    yield Run.objects.create(session=session, key=key, prompt=[], status="running")
    switch.forget()


def test_a_run_is_looked_at_and_is_in_the_way_without_its_texts(run: Run) -> None:
    asked = Approval.objects.create(session=run.session, run=run, expires_at=timezone.now())
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert show.run(find_run(run.session, run.pk))["status"] == "running"
        assert show.detail(run.session)["activeRun"]["runId"] == str(run.pk)
        assert find_approval(run.session, asked.pk).run.status == "running"
        with pytest.raises(SessionBusy) as busy:
            send_message(run.key, run.session_id, NewMessage([{"type": "text", "text": "Hi"}]))
    assert busy.value.details["runId"] == str(run.pk)
    said = "\n".join(query["sql"] for query in queries)
    assert '"sessions_app_run"."status"' in said
    for text in ("prompt", "response"):
        assert f'"sessions_app_run"."{text}"' not in said


def test_who_asks_for_counts_while_others_do_shares_their_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted: list[int] = []
    looks, counting, let_go = Semaphore(0), Event(), Event()

    def clock() -> float:
        looks.release()
        return monotonic()

    def count() -> int:
        counted.append(len(counted))
        counting.set()
        assert let_go.wait(60)
        return counted[-1]

    monkeypatch.setattr(stats, "monotonic", clock)
    monkeypatch.setattr(stats, "_count", count)
    with ThreadPoolExecutor(9) as threads:
        early = threads.submit(stats.counts)
        assert counting.wait(60)
        late = [threads.submit(stats.counts) for _ in range(8)]
        assert all(looks.acquire(timeout=60) for _ in range(10)), "all have asked"
        let_go.set()
        assert early.result(60) == 0
        assert [one.result(60) for one in late] == [1] * 8, "as of after they asked"


def test_an_approval_that_comes_while_the_list_is_read_is_in_the_next_one(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting = pages._fitting

    def and_one_comes(sizes: Iterable[int]) -> int:
        count = fitting(sizes)
        Approval.objects.create(session=run.session, run=run, expires_at=timezone.now())
        return count

    monkeypatch.setattr(pages, "_fitting", and_one_comes)
    for there in range(3):
        found, cursor = pages.oldest_first(
            run.session.approvals.all(), "created_at", ["input"], None
        )
        assert (len(found), cursor) == (there, None)
