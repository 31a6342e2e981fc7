"""Conversations that go on elsewhere: resumed, forked, imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from simulator.testing import SimulatorProcess
from tests.agents.cast import agents_of, allow, asked, bash, eventually, workspace
from tests.api.caller import NOWHERE, Caller, created, ok, refused, wrong_fields
from tests.server_process import ServerProcess, manage

BEFORE = "How many messages came before?"


def messages(caller: Caller, session: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ok(caller.get(f"{session}/messages", limit=1000))["messages"]
    return found


def test_an_ended_session_is_carried_on_by_either_id_where_it_worked(
    alice: Caller, server: ServerProcess
) -> None:
    first = alice.session()
    with asked(alice, first, bash("echo kettle > note.txt")):
        allow(alice, first)
    claude_id = ok(alice.get(first))["claudeSessionId"]
    for given in (first.rpartition("/")[2], claude_id):
        alice("DELETE", first)
        first = alice.session(resume=given)
        assert ok(alice.get(first))["claudeSessionId"] == claude_id
        said = alice.say(first, bash("cat note.txt"))
        assert "kettle" in said["response"]
    assert len(messages(alice, first)) > 6


def test_a_session_that_is_still_open_is_branched_from(alice: Caller) -> None:
    first = alice.session()
    alice.say(first, "Remember the kettle.")
    second = alice.session(resume=first.rpartition("/")[2])
    ids = [ok(alice.get(session))["claudeSessionId"] for session in (first, second)]
    assert ids[0] != ids[1]
    assert "kettle" in alice.say(second, BEFORE)["response"]
    assert "kettle" in alice.say(first, BEFORE)["response"]


def test_a_fork_knows_what_its_origin_knew_and_has_its_files(
    alice: Caller, server: ServerProcess
) -> None:
    first = alice.session()
    with asked(alice, first, bash("echo kettle > note.txt")):
        allow(alice, first)
    second = f"/sessions/{created(alice.post(f'{first}/fork'))['sessionId']}"
    assert "kettle" in alice.say(second, bash("cat note.txt"))["response"]
    with asked(alice, second, bash("touch mine")):
        allow(alice, second)
    assert not (workspace(server, alice, first) / "mine").exists()
    assert len(agents_of(first)) == 1


def test_a_fork_at_any_message_knows_just_what_came_before_it(
    alice: Caller, simulator: SimulatorProcess
) -> None:
    first = alice.session()
    alice.say(first, "First the kettle.")
    alice.say(first, "Then the teapot.")
    for row in messages(alice, first):
        fork = created(alice.post(f"{first}/fork", {"atMessage": row["id"]}))["sessionId"]
        kept = messages(alice, f"/sessions/{fork}")
        assert kept[-1]["type"] == row["type"]

    users = [row for row in messages(alice, first) if row["source"] == "user"]
    answers = [row for row in messages(alice, first) if row["type"] == "assistant"]
    for row, known in ((answers[0], False), (users[1], True), (answers[1], True)):
        fork = created(alice.post(f"{first}/fork", {"atMessage": row["id"]}))["sessionId"]
        alice.say(f"/sessions/{fork}", BEFORE)
        assert ("teapot" in _last_request(simulator)) is known


def test_a_fork_of_a_fork_can_be_made_at_a_message_it_took_over(
    alice: Caller, simulator: SimulatorProcess
) -> None:
    first = alice.session()
    alice.say(first, "First the kettle.")
    alice.say(first, "Then the teapot.")
    fork = f"/sessions/{created(alice.post(f'{first}/fork'))['sessionId']}"
    for of_type in ("user", "assistant"):
        row = next(row for row in messages(alice, fork) if row["type"] == of_type)
        again = created(alice.post(f"{fork}/fork", {"atMessage": row["id"]}))["sessionId"]
        said = alice.say(f"/sessions/{again}", BEFORE)
        assert "kettle" in said["response"]
        assert "teapot" not in _last_request(simulator)


def _last_request(simulator: SimulatorProcess) -> str:
    """What the upstream was told last."""
    rows = Caller(simulator.url, None)("GET", "//sim/requests").json()["requests"]
    return json.dumps([row["body"] for row in rows if row["body"]][-1])


def test_what_belongs_to_another_key_cannot_be_carried_on(alice: Caller, mallory: Caller) -> None:
    session = alice.session()
    claude_id = alice.say(session, "Hello")["claudeSessionId"]
    for given in (session.rpartition("/")[2], claude_id, NOWHERE):
        refused(mallory.post("/sessions", {"resume": given}), 404, "SESSION_NOT_FOUND")
        wanted = {"resume": given, "fork": True}
        refused(mallory.post("/sessions", wanted), 404, "SESSION_NOT_FOUND")
    refused(mallory.post(f"{session}/fork"), 404, "SESSION_NOT_FOUND")
    row = messages(alice, session)[0]
    other = mallory.session()
    wrong = mallory.post(f"{other}/fork", {"atMessage": row["id"]})
    assert wrong_fields(wrong) == {"atMessage"}


@pytest.mark.slow
def test_an_operator_imports_a_transcript_which_its_key_carries_on(
    alice: Caller, server: ServerProcess, tmp_path: Path
) -> None:
    session = alice.session()
    alice.say(session, "Remember the kettle.")
    config = Path(server.env["DATA_DIR"]) / "agents" / session.rpartition("/")[2] / "config"
    (file,) = config.glob("projects/*/*.jsonl")
    eventually(lambda: "assistant" in file.read_text(), "the transcript")
    copy = tmp_path / "transcript.jsonl"
    copy.write_bytes(file.read_bytes())
    assert alice.key is not None
    arguments = ("import_transcript", str(copy), "--key", alice.key.prefix, "--title", "Old")
    said = manage(*arguments, env=server.env)
    imported = f"/sessions/{said.splitlines()[0].strip()}"
    assert ok(alice.get(imported))["title"] == "Old"
    assert "kettle" in alice.say(imported, BEFORE)["response"]

    copy.write_text("not json\n")
    assert "Line 1 is not JSON." in manage(*arguments, env=server.env, check=False)
    assert "No such file" in manage(
        "import_transcript",
        str(tmp_path / "none"),
        "--key",
        alice.key.prefix,
        env=server.env,
        check=False,
    )
