"""Agents on two servers with one PostgreSQL database and one Redis."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis

from sessions_app.models import TranscriptEntry
from tests.agents.cast import (
    Opened,
    agents_of,
    allow,
    asked,
    bash,
    eventually,
    finished,
    log,
    processes,
    workspace,
)
from tests.api.caller import Caller, created, ok
from tests.claude_code.cast import assert_one_chain
from tests.conftest import require
from tests.server_process import ServerProcess, environment, manage

POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql://root@127.0.0.1:5432")
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/10")
pytestmark = [pytest.mark.postgresql, pytest.mark.redis, pytest.mark.slow]

At = Callable[[int], Caller]
Transcript = Callable[[str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def shared(
    usual: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of both servers."""
    try:
        with closing(redis.Redis.from_url(REDIS, socket_connect_timeout=3)) as client:
            client.ping()
        admin = psycopg.connect(f"{POSTGRESQL}/postgres", autocommit=True, connect_timeout=3)
    except (redis.RedisError, psycopg.OperationalError):
        require("PostgreSQL and Redis", False)
    name = f"claudeapi_agents_{uuid4().hex[:12]}"
    admin.execute(f"CREATE DATABASE {name}")
    try:
        env = environment(
            tmp_path_factory.mktemp("cluster"),
            DATABASE_URL=f"{POSTGRESQL}/{name}",
            REDIS_URL=REDIS,
            **usual,
        )
        manage("migrate", "--verbosity", "0", env=env)
        yield env
    finally:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        admin.close()


@pytest.fixture
def pair(shared: dict[str, str]) -> Iterator[list[ServerProcess]]:
    """Two servers."""
    servers = [ServerProcess(shared), ServerProcess(shared)]
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def at(pair: list[ServerProcess], open_database: Opened) -> At:
    """Alice, as a client of the first or the second server."""
    key, text = open_database(pair[0]).issue("Alice")
    return lambda number: Caller(pair[number].url, text, key)


@pytest.fixture
def transcript(pair: list[ServerProcess], open_database: Opened) -> Transcript:
    """The lines of a session's conversation in the database."""

    def lines(session: str) -> list[dict[str, Any]]:
        rows = TranscriptEntry.objects.filter(conversation=session.rpartition("/")[2], subpath="")
        with open_database(pair[0]).open() as alias:
            return list(rows.using(alias).order_by("position").values_list("data", flat=True))

    return lines


def test_one_agent_answers_whichever_server_is_asked(at: At) -> None:
    session = at(0).session()
    for number in range(4):
        at(number % 2).say(session, f"[[sim text {number}]]")
        assert len(agents_of(session)) == 1
    said = at(1).say(session, "And what came before?")
    assert "message" in said["response"]

    # Commands from the other server.
    with asked(at(0), session, bash("touch one")) as run:
        allow(at(1), session)
    assert run["status"] == "completed"
    run = at(0).background(session, "[[sim slow n=3000 delay=10ms]]")
    eventually(lambda: len(log(at(1), session)) > 60, "some words")
    assert at(1).post(f"{session}/cancel").status_code == 202
    assert finished(at(1), session, run["runId"])["status"] == "cancelled"

    with asked(at(0), session, bash("touch two") + bash("echo x > three")) as run:
        eventually(lambda: ok(at(1).get(f"{session}/approvals"))["approvals"], "an approval")
        assert at(1)("PATCH", session, {"permissionMode": "acceptEdits"}).status_code == 200
        eventually(lambda: "acceptEdits" in str(log(at(0), session)[-3:]), "the new mode")
        allow(at(1), session)
    assert run["status"] == "completed"

    assert at(1)("DELETE", session).status_code == 204
    eventually(lambda: not agents_of(session), "the end of the agent", 15)


def test_messages_that_are_queued_at_both_servers_meet_one_agent(at: At) -> None:
    session = at(0).session()
    runs = [
        at(number % 2).background(session, f"[[sim text {number}]]", onBusy="enqueue")["runId"]
        for number in range(4)
    ]
    for run in runs:
        assert finished(at(0), session, run)["status"] == "completed"
        assert len(agents_of(session)) <= 1
    assert len(agents_of(session)) == 1


def test_after_a_kill_the_other_server_carries_the_session_on(
    at: At, pair: list[ServerProcess]
) -> None:
    session = at(0).session(allowedTools=["Bash"])
    at(0).say(session, "[[sim text one]]")
    marker = f"87{os.getpid()}"
    run = at(0).background(session, bash(f"sleep {marker}"))
    eventually(lambda: processes(f"sleep\0{marker}"), "the tool")
    pair[0].signal(signal.SIGKILL)
    eventually(lambda: not processes(f"sleep\0{marker}"), "the tool to be gone", 10)
    eventually(lambda: not agents_of(session), "the agent to be gone", 10)
    row = finished(at(1), session, run["runId"])
    assert (row["status"], row["error"]["code"]) == ("failed", "RUN_LOST")
    said = at(1).say(session, "How many came before?")
    assert "message" in said["response"]
    assert len(agents_of(session)) == 1


def test_a_server_that_was_frozen_beyond_its_lease_lets_go_when_it_wakes(
    at: At, pair: list[ServerProcess], transcript: Transcript
) -> None:
    busy, idle = at(0).session(allowedTools=["Bash"]), at(0).session()
    for session in (busy, idle):
        at(0).say(session, "Remember the kettle.")
    run = at(0).background(busy, bash("touch begun; sleep 3; echo un''heard"))
    eventually((workspace(pair[0], at(0), busy) / "begun").exists, "the tool")
    old = {*agents_of(busy), *agents_of(idle)}
    pair[0].signal(signal.SIGSTOP)
    try:
        row = finished(at(1), busy, run["runId"])
        assert (row["status"], row["error"]["code"]) == ("failed", "RUN_LOST")
        for session in (busy, idle):
            assert "kettle" in at(1).say(session, "What was first?")["response"]
        assert old <= {*agents_of(busy), *agents_of(idle)}  # there are two of each
    finally:
        pair[0].signal(signal.SIGCONT)
    eventually(lambda: old.isdisjoint((*agents_of(busy), *agents_of(idle))), "their end")
    for session in (busy, idle):
        assert "kettle" in at(0).say(session, "And again?")["response"]
        assert len(agents_of(session)) == 1
        assert_one_chain(transcript(session))
        assert "unheard" not in str(transcript(session))


def test_a_session_is_resumed_elsewhere_while_its_old_agent_still_ends(
    at: At, pair: list[ServerProcess], transcript: Transcript
) -> None:
    session = at(0).session(allowedTools=["Bash"])
    at(0).say(session, "Remember the kettle.")
    run = at(0).background(session, bash("trap '' TERM; touch begun; sleep 600; echo un''heard"))
    eventually((workspace(pair[0], at(0), session) / "begun").exists, "the tool")
    (old,) = agents_of(session)
    assert at(0)("DELETE", session).status_code == 204
    finished(at(1), session, run["runId"])
    resumed = created(at(1).post("/sessions", {"resume": session.rpartition("/")[2]}))
    assert resumed["claudeSessionId"] == session.rpartition("/")[2]
    said = at(1).say(f"/sessions/{resumed['sessionId']}", "What was first?")
    assert "kettle" in said["response"]
    eventually(lambda: old not in agents_of(session), "the old agent's end")
    assert len(agents_of(session)) == 1
    assert_one_chain(transcript(session))
    assert "unheard" not in str(transcript(session))
