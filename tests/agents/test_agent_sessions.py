"""A session that is an agent: made, spoken to, changed, cancelled, ended."""

from __future__ import annotations

import json
import os
from time import monotonic
from typing import Any

import pytest

from claudeapi import conf
from simulator.testing import SimulatorProcess
from tests.agents.cast import (
    agents_of,
    allow,
    asked,
    bash,
    eventually,
    finished,
    log,
    open_approval,
    processes,
    tool_results,
    workspace,
)
from tests.agents.conftest import Issue
from tests.api.caller import Caller, created, events_of, ok, refused
from tests.server_process import ServerProcess

ALL_FIELDS = {
    "engine": "claude-code",
    "model": "claude-haiku-5-5",
    "permissionMode": "acceptEdits",
    "systemPrompt": "Be brief.",
    "appendSystemPrompt": "Be kind.",
    "maxTurns": 3,
    "allowedTools": ["Bash(git *)", "Read"],
    "disallowedTools": ["WebSearch"],
    "maxBudgetUsd": "1.5",
    "timeout": 60_000,
    "metadata": {"project": "kitchen"},
    "title": "Soup",
}


def test_agents_are_what_a_server_makes_when_nothing_is_said() -> None:
    assert conf.load({}, {}).options.default_engine == "claude-code"


def test_a_session_is_made_with_every_field_and_answers(
    alice: Caller, simulator: SimulatorProcess
) -> None:
    made = created(alice.post("/sessions", ALL_FIELDS))
    session = f"/sessions/{made['sessionId']}"
    detail = ok(alice.get(session))
    for name in ("permissionMode", "maxTurns", "allowedTools", "disallowedTools"):
        assert detail["config"][name] == ALL_FIELDS[name], detail
    assert (detail["engine"], detail["model"]) == ("claude-code", "claude-haiku-5-5")
    said = alice.say(session, "[[sim text soup]]")
    assert said["response"] == "soup"
    assert said["claudeSessionId"] == ok(alice.get(session))["claudeSessionId"]
    assert float(said["costUsd"]) > 0
    assert said["usage"]["outputTokens"] > 0
    body = _last_request(simulator)
    assert body["model"] == "claude-haiku-5-5"
    system = str(body["system"])
    assert "Be brief." in system
    assert "Be kind." in system


def test_messages_of_one_session_meet_the_same_process(alice: Caller) -> None:
    session = alice.session()
    first = alice.say(session, "[[sim text one]]")
    (agent,) = agents_of(session)
    again = alice.say(session, "How many messages came before?")
    assert agents_of(session) == [agent]
    assert "message" in again["response"]
    assert again["claudeSessionId"] == first["claudeSessionId"]
    costs = [run["costUsd"] for run in ok(alice.get(f"{session}/runs"))["runs"]]
    assert ok(alice.get(session))["costUsd"] == f"{sum(map(float, costs)):.8f}".rstrip("0")


def test_the_log_tells_of_tools_and_the_history_keeps_them(alice: Caller) -> None:
    session = alice.session()
    answer = alice.post(f"{session}/messages", {"prompt": bash("pwd"), "stream": True}, stream=True)
    with answer:
        events = list(events_of(answer))
    kinds = {event.data["message"]["type"] for event in events if event.name == "message"}
    assert kinds == {"user", "system", "stream_event", "assistant", "result"}
    assert events[-1].name == "complete"
    assert "/workspaces/" in tool_results(alice, session)[0]
    assert [entry["id"] for entry in log(alice, session)] == list(
        range(1, (events[-1].id or 0) + 1)
    )


def test_pictures_and_several_blocks_reach_the_upstream(
    alice: Caller, simulator: SimulatorProcess
) -> None:
    dot = (
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
        "AABJRU5ErkJggg=="
    )
    picture = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": dot},
    }
    alice.say(alice.session(), [picture, {"type": "text", "text": "[[sim text seen]]"}])
    assert dot in json.dumps(_last_request(simulator)["messages"])


@pytest.mark.parametrize("prompt", ["/cost", "@/etc/hostname what is this?"])
def test_commands_and_file_mentions_are_only_words(
    alice: Caller, simulator: SimulatorProcess, prompt: str
) -> None:
    said = alice.say(alice.session(), prompt)
    assert prompt in said["response"].replace('\\"', '"')
    assert "Called the Read tool" not in str(_last_request(simulator))


def test_typed_commands_are_obeyed_where_the_key_allows_it(issue: Issue) -> None:
    alice = issue("Alice", allow_slash_commands=True)
    assert "You said" not in alice.say(alice.session(), "/context")["response"]


def test_model_and_mode_change_between_messages_without_a_new_process(
    alice: Caller, simulator: SimulatorProcess
) -> None:
    session = alice.session()
    alice.say(session, "[[sim text one]]")
    before = agents_of(session)
    change = {"model": "claude-opus-5-5", "permissionMode": "acceptEdits"}
    assert alice("PATCH", session, change).status_code == 200
    alice.say(session, bash("echo hi > out.txt"))
    assert _last_request(simulator)["model"] == "claude-opus-5-5"
    assert agents_of(session) == before


def test_mode_and_model_change_while_a_run_goes_on(
    alice: Caller, server: ServerProcess, simulator: SimulatorProcess
) -> None:
    session = alice.session()
    prompt = bash("touch one") + tool_write("two.txt")
    with asked(alice, session, prompt) as run:
        open_approval(alice, session)
        change = {"model": "claude-opus-5-5", "permissionMode": "acceptEdits"}
        assert alice("PATCH", session, change).status_code == 200
        eventually(
            lambda: any(_mode_of(entry) == "acceptEdits" for entry in log(alice, session)),
            "the agent to take the new mode",
        )
        allow(alice, session)
    assert run["status"] == "completed", run
    assert (workspace(server, alice, session) / "two.txt").exists()
    assert _last_request(simulator)["model"] == "claude-opus-5-5"
    assert len(ok(alice.get(f"{session}/approvals", status="all"))["approvals"]) == 1


def tool_write(name: str) -> str:
    """A directive: Write, by a relative path that only the agent can complete."""
    return bash(f"echo done > {name}")


def _mode_of(entry: dict[str, Any]) -> Any:
    return (entry["data"].get("message") or {}).get("permissionMode")


def test_cancel_stops_the_words_at_once_and_spares_the_next_run(alice: Caller) -> None:
    session = alice.session()
    alice.say(session, "[[sim text warm]]")
    run = alice.background(session, "[[sim slow n=3000 delay=10ms]]")
    eventually(lambda: len(log(alice, session)) > 20, "some words")
    asked_at = monotonic()
    assert alice.post(f"{session}/cancel").status_code == 202
    row = finished(alice, session, run["runId"])
    took = monotonic() - asked_at
    assert (row["status"], row["error"]["code"]) == ("cancelled", "RUN_CANCELLED")
    assert took < 5, took
    assert alice.say(session, "[[sim text next]]")["response"] == "next"


def test_cancel_ends_the_tool_and_what_it_has_started(alice: Caller) -> None:
    session = alice.session(allowedTools=["Bash"])
    marker = f"86{os.getpid()}"
    run = alice.background(session, bash(f"sleep {marker}"))
    eventually(lambda: processes(f"sleep\0{marker}"), "the tool")
    alice.post(f"{session}/cancel")
    row = finished(alice, session, run["runId"])
    assert row["status"] == "cancelled"
    eventually(lambda: not processes(f"sleep\0{marker}"), "the end of the tool", 5)
    assert alice.say(session, "[[sim text next]]")["response"] == "next"


def test_a_message_that_interrupts_is_not_hit_by_its_own_interrupt(alice: Caller) -> None:
    session = alice.session()
    runs = [alice.background(session, "[[sim slow n=3000 delay=10ms]]")["runId"]]
    for number in range(4):
        prompt = f"[[sim slow n=40 delay=10ms]] [[sim text ' {number}']]"
        eventually(lambda: ok(alice.get(session))["activeRun"], "a run")
        runs.append(alice.background(session, prompt, onBusy="interrupt")["runId"])
    rows = [finished(alice, session, run) for run in runs]
    assert rows[-1]["status"] == "completed", rows
    assert {row["status"] for row in rows[:-1]} == {"cancelled"}, rows


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_deleting_a_session_frees_its_process(alice: Caller, busy: bool) -> None:
    session = alice.session()
    alice.say(session, "[[sim text hello]]")
    assert agents_of(session)
    if busy:
        alice.background(session, "[[sim slow n=3000 delay=10ms]]")
        eventually(lambda: len(log(alice, session)) > 20, "some words")
    assert alice("DELETE", session).status_code == 204
    eventually(lambda: not agents_of(session), "the end of the process", 15)
    refused(alice.post(f"{session}/messages", {"prompt": "Hello"}), 409, "SESSION_ENDED")


def _last_request(simulator: SimulatorProcess) -> dict[str, Any]:
    caller = Caller(simulator.url, None)
    rows = caller("GET", "//sim/requests").json()
    found = [row for row in rows["requests"] if row["path"].startswith("/v1/messages")]
    body: dict[str, Any] = found[-1]["body"]
    return body
