"""Tool calls that wait for a yes: answered over REST and WebSocket, once, by whoever is first."""

from __future__ import annotations

import json
from typing import Any

from websockets.sync.client import connect

from tests.agents.cast import (
    allow,
    answer,
    asked,
    bash,
    eventually,
    log,
    open_approval,
    tool,
    tool_results,
    workspace,
)
from tests.api.caller import Caller, all_at_once, ok, refused
from tests.server_process import ServerProcess

QUESTION = {
    "question": "Which colour?",
    "header": "Colour",
    "multiSelect": False,
    "options": [
        {"label": "Red", "description": "Warm"},
        {"label": "Blue", "description": "Cold"},
    ],
}


def test_a_call_is_allowed_once_then_for_the_session(alice: Caller, server: ServerProcess) -> None:
    session = alice.session()
    with asked(alice, session, bash("touch one")):
        row = open_approval(alice, session)
        assert row["toolName"] == "Bash"
        assert row["input"]["command"] == "touch one"
        assert ok(alice.get(session))["pendingApprovals"] == 1
        assert ok(alice.get(f"{session}/runs/{row['runId']}"))["status"] == "waiting"
        decided = allow(alice, session)
        assert (decided["status"], decided["scope"]) == ("allowed", "once")
    with asked(alice, session, bash("touch one")):
        assert allow(alice, session, scope="session")["scope"] == "session"
    with asked(alice, session, bash("touch one")) as run:
        pass  # nobody is asked any more
    assert run["status"] == "completed"
    assert len(ok(alice.get(f"{session}/approvals", status="all"))["approvals"]) == 2
    assert (workspace(server, alice, session) / "one").exists()


def test_the_input_is_changed_by_whoever_allows_it(alice: Caller, server: ServerProcess) -> None:
    session = alice.session()
    with asked(alice, session, bash("touch wrong")):
        allow(alice, session, updatedInput={"command": "touch right"})
    files = [path.name for path in workspace(server, alice, session).iterdir()]
    assert files == ["right"]


def test_a_no_is_told_to_the_agent_with_its_message_and_the_run_goes_on(alice: Caller) -> None:
    session = alice.session()
    with asked(alice, session, bash("touch file")) as run:
        row = answer(alice, session, decision="deny", message="Not on a Sunday.")
    assert row["status"] == "denied"
    assert run["status"] == "completed"
    assert "Not on a Sunday." in tool_results(alice, session)[0]
    told = [
        entry["data"]["status"] for entry in log(alice, session) if entry["event"] == "approval"
    ]
    assert told == ["pending", "denied"]


def test_of_two_answers_at_once_one_wins_and_the_other_is_refused(alice: Caller) -> None:
    session = alice.session()
    with asked(alice, session, bash("touch file")) as run:
        path = f"{session}/approvals/{open_approval(alice, session)['approvalId']}"
        bodies = [{"decision": "allow"}, {"decision": "deny"}] * 2
        answers = all_at_once(4, lambda number: alice.post(path, bodies[number]))
    assert sorted(one.status_code for one in answers) == [200, 409, 409, 409]
    assert run["status"] == "completed"
    refused(alice.post(path, {"decision": "allow"}), 409, "APPROVAL_RESOLVED")


def test_parallel_calls_each_get_their_answer(alice: Caller, server: ServerProcess) -> None:
    session = alice.session()
    directive = "[[sim tools " + " ".join(
        f"Bash='{json.dumps({'command': f'touch {name}'})}'" for name in ("a", "b", "c")
    )
    with asked(alice, session, f"{directive}]]") as run:
        for decision in ("allow", "deny", "allow"):
            answer(alice, session, decision=decision)
    assert run["status"] == "completed"
    rows = ok(alice.get(f"{session}/approvals", status="all"))["approvals"]
    assert [row["status"] for row in rows] == ["allowed", "denied", "allowed"]
    wanted = {row["input"]["command"][-1] for row in rows if row["status"] == "allowed"}
    assert {path.name for path in workspace(server, alice, session).iterdir()} == wanted


def test_a_cancelled_run_cancels_what_it_asked_visibly(alice: Caller) -> None:
    session = alice.session()
    with asked(alice, session, bash("touch file")) as run:
        row = open_approval(alice, session)
        alice.post(f"{session}/cancel")
    assert run["status"] == "cancelled"
    told = [
        entry["data"]["status"] for entry in log(alice, session) if entry["event"] == "approval"
    ]
    assert told == ["pending", "cancelled"]
    path = f"{session}/approvals/{row['approvalId']}"
    refused(alice.post(path, {"decision": "allow"}), 409, "APPROVAL_RESOLVED")


def test_an_answer_over_the_socket(alice: Caller, server: ServerProcess) -> None:
    session = alice.session()
    url = f"{server.url.replace('http', 'ws')}/ws/v1{session}"
    with connect(url, additional_headers={"x-api-key": alice.text or ""}) as socket:
        socket.send(json.dumps({"type": "message", "prompt": bash("touch file"), "ref": 1}))
        seen: list[dict[str, Any]] = []

        def until(name: str) -> dict[str, Any]:
            while not seen or seen[-1]["event"] != name:
                seen.append(json.loads(socket.recv(timeout=30)))
            found: dict[str, Any] = seen[-1]["data"]
            return found

        approval = until("approval")
        assert approval["status"] == "pending"
        frame = {"type": "approval", "approvalId": approval["approvalId"], "decision": "allow"}
        socket.send(json.dumps({**frame, "ref": 2}))
        socket.send(json.dumps({**frame, "ref": 3}))
        assert until("complete")["stopReason"] == "end_turn"
    answers = {one["ref"]: one for one in seen if one.get("ref") in (2, 3)}
    assert answers[2]["event"] == "ack"
    assert answers[2]["data"]["status"] == "allowed"
    assert answers[3]["data"]["error"]["code"] == "APPROVAL_RESOLVED"
    assert (workspace(server, alice, session) / "file").exists()


def test_a_question_of_the_agent_gets_its_answer(alice: Caller) -> None:
    session = alice.session()
    with asked(alice, session, tool("AskUserQuestion", questions=[QUESTION])) as run:
        row = open_approval(alice, session)
        assert row["toolName"] == "AskUserQuestion"
        (question,) = row["input"]["questions"]
        assert [option["label"] for option in question["options"]] == ["Red", "Blue"]
        allow(alice, session, updatedInput={"answers": {"Which colour?": "Blue"}})
    assert run["status"] == "completed"
    assert "Blue" in tool_results(alice, session)[0]


def test_an_approved_plan_ends_plan_mode_and_it_stays_so(
    alice: Caller, server: ServerProcess
) -> None:
    session = alice.session(permissionMode="plan")
    plan = "First soup, then bread."
    with asked(alice, session, tool("ExitPlanMode", plan=plan)):
        row = open_approval(alice, session)
        assert row["input"]["plan"] == plan
        answer(alice, session, decision="deny", message="More salt.")
    assert "More salt." in tool_results(alice, session)[0]
    assert ok(alice.get(session))["config"]["permissionMode"] == "plan"

    with asked(alice, session, tool("ExitPlanMode", plan=plan)) as run:
        allow(alice, session)
    assert run["status"] == "completed"
    eventually(
        lambda: ok(alice.get(session))["config"]["permissionMode"] == "default", "the mode", 5
    )
    with asked(alice, session, bash("touch file")) as run:
        allow(alice, session)
    assert (workspace(server, alice, session) / "file").exists()


def test_approvals_of_others_do_not_exist(alice: Caller, mallory: Caller) -> None:
    session = alice.session()
    with asked(alice, session, bash("touch file")):
        path = f"{session}/approvals/{open_approval(alice, session)['approvalId']}"
        refused(mallory.post(path, {"decision": "allow"}), 404, "SESSION_NOT_FOUND")
        mine = mallory.session() + path.removeprefix(session)
        refused(mallory.post(mine, {"decision": "allow"}), 404, "APPROVAL_NOT_FOUND")
        answer(alice, session, decision="deny")
