"""A yes for the session: it outlives the agent's process, and not the session."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agents.cast import agents_of, allow, asked, bash, eventually, open_approval, tool
from tests.agents.cast import workspace as folder_of
from tests.agents.conftest import Issue, Serve
from tests.api.caller import Caller, created, ok
from tests.server_process import ServerProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def server(serve: Serve) -> ServerProcess:
    return serve(AGENT_IDLE_SECONDS="1")


@pytest.fixture
def alice(issue: Issue, server: ServerProcess) -> Caller:
    return issue("Alice", server, permission_modes=["default"])


def reaped(session: str) -> None:
    eventually(lambda: not agents_of(session), "the agent to be ended", 20)


def asked_about(caller: Caller, session: str) -> list[Any]:
    rows = ok(caller.get(f"{session}/approvals", status="all"))["approvals"]
    return [row["input"].get("command") or row["toolName"] for row in rows]


def test_it_holds_after_the_process_was_ended_and_on_another_server(
    alice: Caller, server: ServerProcess, serve: Serve
) -> None:
    session = alice.session()
    with asked(alice, session, bash("touch one")):
        allow(alice, session, scope="session")
    reaped(session)
    assert alice.say(session, bash("touch one"))["stopReason"] == "end_turn"

    server.signal()
    assert server.wait(40) == 0
    alice = Caller(serve(after=server).url, alice.text, alice.key)
    alice.say(session, bash("touch one"))
    with asked(alice, session, bash("touch two")) as run:
        allow(alice, session)

    assert run["status"] == "completed"
    assert asked_about(alice, session) == ["touch one", "touch two"]


def test_a_session_made_of_it_has_none_of_it(alice: Caller) -> None:
    session = alice.session()
    with asked(alice, session, bash("touch one")):
        allow(alice, session, scope="session")
    fork = f"/sessions/{created(alice.post(f'{session}/fork'))['sessionId']}"
    alice("DELETE", session)
    heir = alice.session(resume=session.rpartition("/")[2])

    for other in (fork, heir):
        with asked(alice, other, bash("touch one")):
            allow(alice, other)
        assert asked_about(alice, other) == ["touch one"]


def test_a_mode_that_was_set_later_wins_over_one_that_was_granted(
    issue: Issue, server: ServerProcess
) -> None:
    alice = issue("Alice", server, permission_modes=["default", "acceptEdits"])
    session = alice.session()
    folder = folder_of(server, alice, session)
    write = [tool("Write", file_path=str(folder / name), content="x") for name in "abc"]
    with asked(alice, session, write[0]):
        assert open_approval(alice, session)["suggestions"][0]["mode"] == "acceptEdits"
        allow(alice, session, scope="session")
    reaped(session)
    alice.say(session, write[1])
    assert ok(alice.get(session))["config"]["permissionMode"] == "acceptEdits"

    assert alice("PATCH", session, {"permissionMode": "default"}).status_code == 200
    reaped(session)
    with asked(alice, session, write[2]):
        allow(alice, session)

    assert asked_about(alice, session) == ["Write", "Write"]
