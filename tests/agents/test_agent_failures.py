"""What goes wrong behind an agent, and what its client is told."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from tests.agents.cast import agents_of, bash, eventually, finished, log, processes
from tests.agents.conftest import Issue, Serve
from tests.api.caller import Caller, all_at_once, events_of, ok, refused

pytestmark = pytest.mark.slow

UPSTREAM: list[tuple[str, int, str]] = [
    ("[[sim status 401]]", 502, "UPSTREAM_REJECTED"),
    ("[[sim status 400]]", 502, "UPSTREAM_REJECTED"),
    ("[[sim status 529]]", 503, "UPSTREAM_OVERLOADED"),
    ("[[sim status 500]]", 502, "UPSTREAM_ERROR"),
    ("[[sim cut after=3]]", 502, "UPSTREAM_ERROR"),
]


def test_what_the_upstream_refuses_has_its_code_wherever_it_is_read(alice: Caller) -> None:
    sessions = [alice.session() for _ in UPSTREAM]
    begun = monotonic()

    def send(number: int) -> Any:
        body = {"prompt": UPSTREAM[number][0]}
        return alice.post(f"{sessions[number]}/messages", body, timeout=60)

    answers = all_at_once(len(UPSTREAM), send)
    assert monotonic() - begun < 60
    for session, answer, (prompt, status, code) in zip(sessions, answers, UPSTREAM, strict=True):
        told = refused(answer, status, code)
        (row,) = ok(alice.get(f"{session}/runs"))["runs"]
        assert (row["status"], row["error"]["code"]) == ("failed", code), prompt
        (last,) = [entry for entry in log(alice, session) if entry["event"] == "error"]
        assert last["data"]["error"]["code"] == code
        assert "sk-" not in str(told)
    retries = [
        entry
        for entry in log(alice, sessions[2])
        if (entry["data"].get("message") or {}).get("subtype") == "api_retry"
    ]
    assert retries
    assert "retry-after" in answers[2].headers
    with alice.post(
        f"{sessions[0]}/messages", {"prompt": UPSTREAM[0][0], "stream": True}, stream=True
    ) as answer:
        end = list(events_of(answer))[-1]
    assert (end.name, end.data["error"]["code"]) == ("error", "UPSTREAM_REJECTED")
    assert alice.say(sessions[0], "[[sim text fine]]")["response"] == "fine"


def test_an_agent_that_is_killed_is_a_lost_run_and_comes_back(alice: Caller) -> None:
    session = alice.session()
    alice.say(session, "Remember the kettle.")
    run = alice.background(session, "[[sim slow n=3000 delay=10ms]]")
    eventually(lambda: len(log(alice, session)) > 20, "some words")
    for pid in agents_of(session):
        os.kill(pid, signal.SIGKILL)
    row = finished(alice, session, run["runId"])
    assert (row["status"], row["error"]["code"]) == ("failed", "RUN_LOST")
    assert "kettle" in alice.say(session, "What was first?")["response"]


def test_an_upstream_that_is_silent_or_away_is_given_up(serve: Serve, issue: Issue) -> None:
    alice = issue("Alice", serve(UPSTREAM_IDLE_TIMEOUT="2"))
    session = alice.session()
    answer = alice.post(f"{session}/messages", {"prompt": "[[sim stall after=3]]"}, timeout=60)
    refused(answer, 504, "UPSTREAM_TIMEOUT")
    assert alice.say(session, "[[sim text fine]]")["response"] == "fine"


def test_an_upstream_that_is_not_there_is_told_within_a_minute(serve: Serve, issue: Issue) -> None:
    alice = issue("Alice", serve(SIMULATOR_URL="http://127.0.0.1:9"))
    answer = alice.post(f"{alice.session()}/messages", {"prompt": "Hello"}, timeout=60)
    refused(answer, 502, "UPSTREAM_ERROR")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder for programs that the server finds first."""
    folder = tmp_path / "programs"
    folder.mkdir()
    return folder


def test_an_agent_that_cannot_start_says_why(serve: Serve, issue: Issue, programs: Path) -> None:
    fake = programs / "bwrap"
    fake.write_text(
        '#!/bin/sh\nfor last; do :; done\n[ "$last" = /bin/true ] && exit 0\n'
        'echo "out of chairs" >&2\nexit 1\n'
    )
    fake.chmod(0o755)
    alice = issue("Alice", serve(PATH=f"{programs}:{os.environ['PATH']}"))
    session = alice.session()
    answer = alice.post(f"{session}/messages", {"prompt": "Hello"})
    error = refused(answer, 503, "UNAVAILABLE")
    assert error["details"]["reason"] == "out of chairs"
    assert "retry-after" in answer.headers


def test_a_server_that_needs_a_sandbox_and_has_none_runs_no_agents(
    serve: Serve, issue: Issue, programs: Path
) -> None:
    fake = programs / "bwrap"
    fake.write_text('#!/bin/sh\necho "no namespaces here" >&2\nexit 1\n')
    fake.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    server = serve(PATH=path, CLAUDE_SANDBOX="required")
    alice = issue("Alice", server)
    error = refused(
        alice.post(f"{alice.session()}/messages", {"prompt": "Hello"}), 503, "UNAVAILABLE"
    )
    assert "no namespaces here" in error["details"]["reason"]
    assert "bubblewrap" in error["details"]["remedy"]
    health = ok(alice.get("/health"))
    assert health["status"] == "degraded"
    assert (health["sandbox"]["mode"], health["sandbox"]["active"]) == ("required", False)
    assert "bubblewrap does not work" in health["sandbox"]["warning"]
    assert alice("GET", "//readyz").status_code == 200, "conversations without tools go on"
    server.stop()

    # In development one does without, and is told.
    server = serve(PATH=path, CLAUDE_SANDBOX="auto")
    alice = issue("Alice", server)
    session = alice.session(allowedTools=["Bash"])
    marker = f"90{os.getpid()}"
    alice.background(session, bash(f"sleep {marker}"))
    eventually(lambda: processes(f"sleep\0{marker}"), "the tool")
    assert "not locked in" in ok(alice.get("/health"))["sandbox"]["warning"]
    server.signal(signal.SIGKILL)
    eventually(lambda: not processes(f"sleep\0{marker}"), "the end of the tool", 10)
