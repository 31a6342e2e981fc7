"""Messages that wait for an agent process, on a server that has one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import pytest

from tests.agents.cast import agents_of, bash, eventually, finished, open_approval
from tests.agents.conftest import Issue, Serve
from tests.api.caller import Caller, events_of, ok
from tests.server_process import ServerProcess

pytestmark = pytest.mark.slow


@contextmanager
def all_busy(caller: Caller) -> Iterator[Callable[[], object]]:
    """The only agent waits for a yes; what is yielded gives it."""
    session = caller.session()
    run = caller.background(session, bash("touch file"))
    row = open_approval(caller, session)
    path = f"{session}/approvals/{row['approvalId']}"
    yield lambda: ok(caller.post(path, {"decision": "allow"}))
    assert finished(caller, session, run["runId"])["status"] == "completed"


@pytest.fixture
def small(serve: Serve) -> ServerProcess:
    return serve(MAX_LIVE_AGENTS="1")


def test_a_message_that_waits_can_be_given_up_in_every_way_and_the_next_is_answered(
    small: ServerProcess, issue: Issue
) -> None:
    alice, bob = issue("Alice", small), issue("Bob", small)
    with all_busy(alice) as let_go:
        cancelled, late, left, patient = (bob.session() for _ in range(4))
        runs = {
            cancelled: bob.background(cancelled, "Hello"),
            late: bob.background(late, "Hello", timeout=500),
        }
        body = {"prompt": "Hello", "stream": True, "onDisconnect": "cancel"}
        with bob.post(f"{left}/messages", body, stream=True) as answer:
            runs[left] = next(events_of(answer)).data
            patients = bob.background(patient, "[[sim text there]]")
        for path, run in ((patient, patients), (cancelled, runs[cancelled])):
            taken = f"{path}/runs/{run['runId']}"
            eventually(lambda at=taken: ok(bob.get(at))["status"] == "running", "a run to be taken")

        begun = monotonic()
        bob.post(f"{cancelled}/cancel")
        ends = {path: finished(bob, path, run["runId"]) for path, run in runs.items()}
        assert monotonic() - begun < 30
        assert {ends[path]["error"]["code"] for path in (cancelled, left)} == {"RUN_CANCELLED"}
        assert ends[late]["error"]["code"] == "REQUEST_TIMEOUT"
        let_go()
        assert finished(bob, patient, patients["runId"])["status"] == "completed"
    assert agents_of(patient)


def test_a_server_that_ends_cancels_what_waits(serve: Serve, issue: Issue) -> None:
    server = serve(MAX_LIVE_AGENTS="1", DRAIN_TIMEOUT="2")
    alice, bob = issue("Alice", server), issue("Bob", server)
    busy, session = alice.session(), bob.session()
    alice.background(busy, bash("touch file"))
    open_approval(alice, busy)
    run = bob.background(session, "Hello")
    path = f"{session}/runs/{run['runId']}"
    eventually(lambda: ok(bob.get(path))["status"] == "running", "the run to be taken")

    server.signal(signal.SIGTERM)
    assert server.wait(40) == 0

    row = ok(Caller(serve(after=server).url, bob.text).get(path))
    assert (row["status"], row["error"]["code"]) == ("cancelled", "RUN_CANCELLED")
    assert row["error"]["details"]["reason"] == "draining"
