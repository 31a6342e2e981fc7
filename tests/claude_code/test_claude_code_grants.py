"""A yes for the session holds for every process of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from claude_agent_sdk import PermissionUpdate
from claude_agent_sdk.types import PermissionRuleValue

from sessions_app.engines.claude_code.grants import Grants, grants_of
from tests.claude_code.cast import Keeper, Session, TestHost, bash, tool

COMMANDS = [
    "touch one two",
    "touch 'a (b)' 'c, d'",
    "touch 'back\\slash' \"quo'te\" && touch \\(",
    "touch a\ntouch b",
    "touch '\\\\(x\\\\)' '\\(y'",
    "touch x:y",
    "touch ü",
]


def pids(alice: Session) -> set[int]:
    return {live["pid"] for live in alice.engine.live_sessions().values()}


@pytest.mark.parametrize(
    "command",
    [COMMANDS[0], *(pytest.param(other, marks=pytest.mark.slow) for other in COMMANDS[1:])],
)
async def test_a_command_is_not_asked_about_again_in_a_new_process(
    alice: Session, command: str
) -> None:
    host = Keeper(alice)
    await alice.say(bash(command), host)
    await alice.engine.release(alice.session_id)

    told = await alice.say(bash(command), host)
    await alice.say(bash(f"{command}; touch more"), host)

    assert told.finished.status == "completed"
    assert [question.input["command"] for question in host.asked] == [
        command,
        f"{command}; touch more",
    ]


async def test_files_and_folders_stay_allowed_in_a_new_process(
    alice: Session, tmp_path: Path
) -> None:
    host = Keeper(alice)
    outside = tmp_path / "data" / "agents" / alice.session_id / "home" / "a file (1).txt"
    calls = [
        tool("Read", file_path="/etc/hostname"),
        tool("Write", file_path=str(outside), content="hi"),
    ]
    for call in calls:
        await alice.say(call, host)
    asked = len(host.asked)
    await alice.engine.release(alice.session_id)

    for call in calls:
        await alice.say(call, host)
    await alice.say(tool("Read", file_path="/usr/lib/os-release"), host)

    assert [question.tool_name for question in host.asked[asked:]] == ["Read"]


async def test_what_the_agent_cannot_read_of_it_spoils_nothing_else(alice: Session) -> None:
    host = Keeper(alice)
    alice.config["granted"] += [
        PermissionUpdate(
            "addRules", [PermissionRuleValue("Bash", "touch 'a:* b'")], "allow"
        ).to_dict(),
        PermissionUpdate("addDirectories", directories=["/nowhere/at/all"]).to_dict(),
        PermissionUpdate(
            "addRules", [PermissionRuleValue("Bash", "touch good")], "allow"
        ).to_dict(),
    ]

    await alice.say(bash("touch good"), host)

    assert host.asked == []
    assert alice.files() == ["good"]


async def test_a_yes_for_the_session_needs_no_new_process(alice: Session) -> None:
    host = Keeper(alice)
    await alice.say(bash("touch one"), host)
    before = pids(alice)

    await alice.say(bash("touch one"), host)

    assert pids(alice) == before
    assert len(host.asked) == 1


async def test_what_is_granted_no_more_is_asked_about_again(alice: Session) -> None:
    await alice.say(bash("touch one"), Keeper(alice))
    alice.config["granted"] = []
    host = TestHost()

    await alice.say(bash("touch one"), host)

    assert len(host.asked) == 1


def test_rules_and_folders_are_kept_and_the_mode_is_not() -> None:
    rules = [PermissionRuleValue("WebSearch"), PermissionRuleValue("Bash", "echo \\(a)")]
    updates = [
        PermissionUpdate("addRules", rules, "allow"),
        PermissionUpdate("addRules", [PermissionRuleValue("Bash")], "deny"),
        PermissionUpdate("setMode", mode="acceptEdits"),
        PermissionUpdate("addDirectories", directories=["/a"]),
    ]

    granted = grants_of(updates)

    assert granted == Grants(frozenset({"WebSearch", "Bash(echo \\\\\\(a\\))"}), frozenset({"/a"}))
    assert grants_of(updates[1:3]).settings() == {}
