"""What a key may ask of an agent: modes, tools, models, folders, money, room on disk."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.agents.cast import allow, asked, bash, finished, tool_results, workspace
from tests.agents.conftest import Issue, Serve
from tests.api.caller import Caller, refused, wrong_fields
from tests.server_process import ServerProcess

REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"permission_modes": ["plan"]}, {"permissionMode": "default"}, "permissionMode"),
    ({"permission_modes": ["plan"]}, {}, "permissionMode"),
    ({}, {"permissionMode": "bypassPermissions"}, "permissionMode"),
    ({"models": ["claude-haiku-*"]}, {"model": "claude-opus-5-5"}, "model"),
    ({"tools": ["Read"]}, {"allowedTools": ["Read", "Bash(ls)"]}, "allowedTools"),
    ({"max_turns": 3}, {"maxTurns": 4}, "maxTurns"),
    ({"engines": ["messages"]}, {}, "engine"),
]


@pytest.mark.parametrize(("policy", "wanted", "field"), REFUSED)
def test_what_the_policy_does_not_allow_is_refused_with_what_it_does(
    issue: Issue, policy: dict[str, Any], wanted: dict[str, Any], field: str
) -> None:
    alice = issue("Alice", **policy)
    error = refused(alice.post("/sessions", wanted), 403, "POLICY_DENIED")
    assert error["details"]["field"] == field
    assert set(error["details"]) == {"field", "requested", "allowed"}


@pytest.mark.parametrize(
    "rules", [["Bash, Write"], ["--dangerously-skip-permissions"], ["Bash(a)(b)"], ["mcp__x\n"]]
)
def test_a_rule_that_is_none_is_refused(alice: Caller, rules: list[str]) -> None:
    assert wrong_fields(alice.post("/sessions", {"allowedTools": rules})) == {"allowedTools"}


def test_an_agent_has_no_tool_that_its_key_may_not_use(issue: Issue, server: ServerProcess) -> None:
    alice = issue("Alice", tools=["Read", "Glob"])
    session = alice.session()
    alice.say(session, bash("touch file"))
    assert not list(workspace(server, alice, session).iterdir())
    assert "No such tool" in tool_results(alice, session)[0]


def test_a_short_name_among_the_models_of_a_key_is_the_model_it_stands_for(issue: Issue) -> None:
    alice = issue("Alice", models=["default"])
    session = alice.session(model="default")
    assert alice.say(session, "[[sim text fine]]")["response"] == "fine"


def test_bypassing_needs_the_policy_and_the_sandbox(issue: Issue, serve: Serve) -> None:
    modes = ["default", "bypassPermissions"]
    alice = issue("Alice", permission_modes=modes)
    session = alice.session(permissionMode="bypassPermissions")
    alice.say(session, bash("touch file; id -u"))
    assert "1000" in tool_results(alice, session)[0]
    # To another mode and back: another process, the same conversation.
    assert alice("PATCH", session, {"permissionMode": "default"}).status_code == 200
    with asked(alice, session, bash("touch more")) as run:
        allow(alice, session)
    assert run["status"] == "completed"

    bob = issue("Bob", serve(CLAUDE_SANDBOX="off"), permission_modes=modes)
    wanted = {"permissionMode": "bypassPermissions"}
    error = refused(bob.post("/sessions", wanted), 403, "POLICY_DENIED")
    assert error["details"]["allowed"] == ["default"]
    assert "needs the sandbox" in error["message"]
    session = bob.session()
    refused(bob("PATCH", session, wanted), 403, "POLICY_DENIED")
    assert bob.say(session, "[[sim text fine]]")["response"] == "fine"


def test_folders_outside_the_roots_are_out_of_reach(
    issue: Issue, alice: Caller, server: ServerProcess, tmp_path: Path
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "inner", outside):
        folder.mkdir(parents=True)
    (root / "link").symlink_to(outside)
    bob = issue("Bob", roots=[str(root)])
    data = Path(server.env["DATA_DIR"])
    alice.say(alices := alice.session(), "Hello")
    for cwd in (
        outside,
        root / "link",
        f"{root}/../outside",
        "/",
        "/etc",
        data,
        data / "workspaces",
        data / "agents",
        workspace(server, alice, alices),
        Path(__file__).parent,
    ):
        error = refused(bob.post("/sessions", {"cwd": str(cwd)}), 403, "POLICY_DENIED")
        assert error["details"] == {
            "field": "cwd",
            "requested": str(cwd),
            "allowed": [str(root)],
        }
    assert wrong_fields(bob.post("/sessions", {"cwd": "inner"})) == {"cwd"}
    assert wrong_fields(bob.post("/sessions", {"cwd": str(root / "none")})) == {"cwd"}
    session = bob.session(cwd=str(root / "inner"))
    with asked(bob, session, bash("touch file")):
        allow(bob, session)
    assert (root / "inner" / "file").exists()
    # A folder that has become a link since is looked at again.
    later = bob.session(cwd=str(root / "inner"))
    (root / "inner" / "file").unlink()
    (root / "inner").rmdir()
    (root / "inner").symlink_to(outside)
    refused(bob.post(f"{later}/messages", {"prompt": "Hello"}), 403, "POLICY_DENIED")


def test_a_stricter_policy_holds_for_sessions_that_are_there(
    issue: Issue, open_database: Any, server: ServerProcess
) -> None:
    alice = issue("Alice")
    session = alice.session(permissionMode="acceptEdits")
    alice.say(session, "Hello")
    assert alice.key is not None
    with open_database(server).open() as alias:
        type(alice.key).objects.using(alias).filter(pk=alice.key.pk).update(
            permission_modes=["default"]
        )
    error = refused(alice.post(f"{session}/messages", {"prompt": "Hi"}), 403, "POLICY_DENIED")
    assert error["details"]["field"] == "permissionMode"


def test_a_root_that_was_taken_away_is_worked_in_no_more(
    issue: Issue, open_database: Any, server: ServerProcess, tmp_path: Path
) -> None:
    bob = issue("Bob", roots=[str(tmp_path)])
    session = bob.session(cwd=str(tmp_path))
    bob.say(session, "Hello")
    assert bob.key is not None
    with open_database(server).open() as alias:
        type(bob.key).objects.using(alias).filter(pk=bob.key.pk).update(roots=[])
    error = refused(bob.post(f"{session}/messages", {"prompt": "Hi"}), 403, "POLICY_DENIED")
    assert error["details"] == {"field": "cwd", "requested": str(tmp_path), "allowed": []}


def test_budgets_hold_of_the_session_and_of_the_key(issue: Issue) -> None:
    alice = issue("Alice", budget_day_usd=Decimal("0.0001"))
    session = alice.session()
    run = alice.background(session, bash("pwd") * 9)
    row = finished(alice, session, run["runId"])
    assert (row["status"], row["error"]["code"]) == ("failed", "BUDGET_EXCEEDED")
    later = refused(alice.post(f"{session}/messages", {"prompt": "Hi"}), 402, "BUDGET_EXCEEDED")
    assert row["error"]["details"] == later["details"]
    assert (later["details"]["of"], later["details"]["period"]) == ("key", "day")

    bob = issue("Bob")
    session = bob.session(maxBudgetUsd="0.0001")
    answer = bob.post(f"{session}/messages", {"prompt": bash("pwd") * 9})
    told = refused(answer, 402, "BUDGET_EXCEEDED")
    later = refused(bob.post(f"{session}/messages", {"prompt": "Hi"}), 402, "BUDGET_EXCEEDED")
    assert told["details"].pop("runId")
    assert told["details"] == later["details"]
    assert (told["details"]["of"], told["details"]["limitUsd"]) == ("session", "0.0001")


def test_more_turns_than_allowed_end_the_run(alice: Caller) -> None:
    session = alice.session(maxTurns=2)
    run = alice.background(session, bash("pwd") * 5)
    row = finished(alice, session, run["runId"])
    assert (row["status"], row["error"]["code"]) == ("failed", "MAX_TURNS_REACHED")
    assert alice.say(session, "[[sim text fine]]")["response"] == "fine"


def test_a_workspace_that_has_grown_too_large_takes_no_more_messages(
    serve: Serve, issue: Issue
) -> None:
    server = serve(WORKSPACE_QUOTA_BYTES=str(8 << 20))
    alice = issue("Alice", server)
    session = alice.session(allowedTools=["Bash"])
    alice.say(session, bash("head -c 12000000 /dev/zero > big"))
    again = alice.post(f"{session}/messages", {"prompt": "Hello"})
    error = refused(again, 403, "POLICY_DENIED")
    assert error["details"]["field"] == "workspaceBytes"
    assert "more than the 8,388,608 bytes" in error["message"]
    # Carrying on in a new session does not help.
    alice("DELETE", session)
    session = alice.session(resume=session.rpartition("/")[2])
    refused(alice.post(f"{session}/messages", {"prompt": "Hello"}), 403, "POLICY_DENIED")
