"""A server with agents that is told to end, one that is killed, and one that comes back."""

from __future__ import annotations

import os
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest

from tests.agents.cast import (
    agents_of,
    bash,
    eventually,
    finished,
    log,
    open_approval,
    processes,
)
from tests.agents.conftest import Issue, Serve
from tests.api.caller import Caller, ok

pytestmark = pytest.mark.slow


def at(url: str, caller: Caller) -> Caller:
    """The same client at another address."""
    return Caller(url, caller.text, caller.key)


def gone(marker: str) -> bool:
    """Whether no process has this in its command line."""
    return not processes(marker)


def test_after_a_kill_nothing_of_an_agent_lives_and_its_session_goes_on(
    serve: Serve, issue: Issue
) -> None:
    server = serve()
    alice = issue("Alice", server)
    session, asking = alice.session(allowedTools=["Bash"]), alice.session()
    alice.say(session, "[[sim text one]]")
    marker = f"88{os.getpid()}"
    run = alice.background(session, bash(f"sleep {marker}"))
    asked = alice.background(asking, bash("touch file"))
    eventually(lambda: processes(f"sleep\0{marker}"), "the tool")
    approval = open_approval(alice, asking)

    server.signal(signal.SIGKILL)
    for what in (f"sleep\0{marker}", session.rpartition("/")[2], asking.rpartition("/")[2]):
        eventually(partial(gone, what), f"the end of {what}", 10)

    # Its disk is lost too: what counts is in the database.
    shutil.rmtree(Path(server.env["DATA_DIR"]) / "agents")
    alice = at(serve(after=server).url, alice)
    for path, lost in ((session, run), (asking, asked)):
        row = finished(alice, path, lost["runId"])
        assert (row["status"], row["error"]["code"]) == ("failed", "RUN_LOST")
    rows = ok(alice.get(f"{asking}/approvals", status="all"))["approvals"]
    assert [row["status"] for row in rows] == ["cancelled"]
    told = [entry["data"] for entry in log(alice, asking) if entry["event"] == "approval"]
    assert [(row["approvalId"], row["status"]) for row in told] == [
        (approval["approvalId"], "pending"),
        (approval["approvalId"], "cancelled"),
    ]
    said = alice.say(session, "How many messages came before?")
    assert "one" in said["response"] or "message" in said["response"]
    assert len(agents_of(session)) == 1


def test_a_gentle_end_lets_a_run_finish_and_tells_one_that_does_not(
    serve: Serve, issue: Issue
) -> None:
    server = serve(DRAIN_TIMEOUT="4")
    alice = issue("Alice", server)
    short, long = alice.session(), alice.session(allowedTools=["Bash"])
    for session in (short, long):
        alice.say(session, "[[sim text hello]]")
    marker = f"89{os.getpid()}"
    runs = [
        alice.background(short, "[[sim slow n=100 delay=10ms]]")["runId"],
        alice.background(long, bash(f"sleep {marker}"))["runId"],
    ]
    eventually(lambda: processes(f"sleep\0{marker}"), "the tool")
    server.signal(signal.SIGTERM)
    assert server.wait(40) == 0
    eventually(lambda: not processes(f"sleep\0{marker}"), "the tool to be gone")
    eventually(lambda: not processes(server.env["DATA_DIR"]), "all else to be gone")
    alice = at(serve(after=server).url, alice)
    done, stopped = (
        ok(alice.get(f"{session}/runs/{run}"))
        for session, run in zip((short, long), runs, strict=True)
    )
    assert done["status"] == "completed"
    assert (stopped["status"], stopped["error"]["code"]) == ("cancelled", "RUN_CANCELLED")
    assert stopped["error"]["details"]["reason"] == "draining"
    alice.say(long, "[[sim text again]]")


def test_an_idle_agent_is_ended_and_comes_back_with_its_memory(serve: Serve, issue: Issue) -> None:
    server = serve(AGENT_IDLE_SECONDS="1", APPROVAL_TIMEOUT="2")
    alice = issue("Alice", server)
    session = alice.session()
    first = alice.say(session, "Remember the kettle.")
    eventually(lambda: not agents_of(session), "the agent to be ended", 20)
    again = alice.say(session, "What was first?")
    assert "kettle" in again["response"]
    assert again["claudeSessionId"] == first["claudeSessionId"]

    # An approval that nobody answers in time denies, says so, and the run goes on.
    run = alice.background(session, bash("touch late"))
    row = finished(alice, session, run["runId"])
    assert row["status"] == "completed"
    (late,) = ok(alice.get(f"{session}/approvals", status="all"))["approvals"]
    assert late["status"] == "expired"
    assert "in time" in str(log(alice, session)[-8:])
    answer = alice.post(f"{session}/approvals/{late['approvalId']}", {"decision": "allow"})
    assert answer.status_code == 410
    assert answer.json()["error"]["code"] == "APPROVAL_EXPIRED"
