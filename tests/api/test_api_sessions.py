"""Sessions: made, read, changed, ended."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from tests.api.caller import NOWHERE, Caller, created, ok, refused, wrong_fields

FIRST_FIELDS = {"sessionId", "engine", "model", "status", "createdAt", "expiresAt"}
DETAIL = FIRST_FIELDS | {
    "lastActivity", "messageCount", "claudeSessionId", "activeRun", "pendingApprovals", "usage",
    "costUsd", "config", "metadata", "title", "lastEventId",
}  # fmt: skip
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def moment(text: str) -> datetime:
    assert TIMESTAMP.fullmatch(text), text
    return datetime.fromisoformat(text)


def test_a_session_asked_for_with_nothing_gets_every_default(alice: Caller) -> None:
    answer = alice.post("/sessions")
    body = created(answer)
    assert set(body) >= DETAIL
    assert (body["engine"], body["model"]) == ("messages", "claude-sonnet-5-5")
    assert (body["status"], body["messageCount"], body["lastEventId"]) == ("active", 0, 0)
    assert (body["activeRun"], body["pendingApprovals"], body["metadata"]) == (None, 0, {})
    assert (body["costUsd"], body["title"]) == ("0.00", "")
    assert body["config"]["maxTurns"] == 10
    assert body["config"]["permissionMode"] == "default"
    assert set(body["usage"].values()) == {0}
    assert moment(body["expiresAt"]) - moment(body["createdAt"]) == timedelta(hours=1)
    assert answer.headers["location"] == f"/api/v1/sessions/{body['sessionId']}"
    assert ok(alice.get(f"/sessions/{body['sessionId']}")) == body


def test_a_session_keeps_everything_it_was_asked_for(alice: Caller) -> None:
    asked = {
        "engine": "messages",
        "model": "claude-haiku-4-5",
        "permissionMode": "plan",
        "systemPrompt": "  Be brief.\n",
        "appendSystemPrompt": "And kind.",
        "maxTurns": 100,
        "maxBudgetUsd": "1.25",
        "timeout": 60_000,
        "metadata": {"Käse": ["\U0001f9c0", None, 1.5, {"a": True}], "n": 18446744073709551615},
        "title": "x" * 200,
    }
    body = created(alice.post("/sessions", asked))
    for name in ("engine", "model", "timeout", "metadata", "title", "maxBudgetUsd"):
        assert body[name] == asked[name]
    for name in ("permissionMode", "systemPrompt", "appendSystemPrompt", "maxTurns"):
        assert body["config"][name] == asked[name]
    assert moment(body["expiresAt"]) - moment(body["createdAt"]) == timedelta(minutes=1)


def test_a_lifetime_is_at_most_the_servers(alice: Caller) -> None:
    assert created(alice.post("/sessions", {"timeout": 10**10}))["timeout"] == 3_600_000


def test_what_only_agents_have_is_refused_for_a_conversation(alice: Caller) -> None:
    asked = {"cwd": "/tmp", "allowedTools": ["Read"], "disallowedTools": []}
    assert wrong_fields(alice.post("/sessions", asked)) == set(asked)


def test_changes_are_kept_and_the_rest_stays(alice: Caller) -> None:
    session = alice.session(title="old", metadata={"a": 1, "b": 2})
    before = ok(alice.get(session))
    changes = {
        "title": "new",
        "metadata": {"c": 3},
        "model": "claude-haiku-4-5",
        "permissionMode": "plan",
        "timeout": 5000,
    }
    after = ok(alice("PATCH", session, changes))
    assert (after["title"], after["metadata"], after["timeout"]) == ("new", {"c": 3}, 5000)
    assert (after["model"], after["config"]["permissionMode"]) == ("claude-haiku-4-5", "plan")
    assert after["createdAt"] == before["createdAt"]
    assert moment(after["expiresAt"]) < moment(before["expiresAt"])
    assert ok(alice.get(session)) == after
    assert ok(alice("PATCH", session, {}))["title"] == "new"


def test_what_a_session_was_made_with_cannot_be_changed_later(alice: Caller, session: str) -> None:
    fields = {"engine": "messages", "systemPrompt": "x", "maxTurns": 3, "status": "ended"}
    assert wrong_fields(alice("PATCH", session, fields)) == set(fields)


def test_what_cannot_be_the_name_of_a_model_is_refused(alice: Caller, session: str) -> None:
    for name in ("bad model!", "-m", "m\n"):
        assert wrong_fields(alice("PATCH", session, {"model": name})) == {"model"}


def test_an_ended_session_is_ended_for_good_and_stays_readable(alice: Caller, session: str) -> None:
    alice.say(session)
    for _ in range(2):
        gone = alice("DELETE", session)
        assert (gone.status_code, gone.content) == (204, b"")
    assert ok(alice.get(session))["status"] == "ended"
    assert ok(alice.get(f"{session}/messages"))["pagination"]["total"] == 3
    assert len(ok(alice.get(f"{session}/runs"))["runs"]) == 1
    assert ok(alice.get(f"{session}/events"))["events"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/messages", {"prompt": "x"}),
        ("POST", "/messages", {"prompt": "x", "stream": True}),
        ("POST", "/messages", {"prompt": "x", "background": True}),
        ("POST", "/stream", {"prompt": "x"}),
        ("GET", "/stream?prompt=x", None),
        ("PATCH", "", {"title": "x"}),
    ],
)
def test_an_ended_session_takes_nothing_new(
    alice: Caller, session: str, method: str, path: str, body: dict[str, object] | None
) -> None:
    alice("DELETE", session)
    error = refused(alice(method, session + path, body), 409, "SESSION_ENDED")
    assert session.endswith(error["details"]["sessionId"])


def test_ending_a_session_cancels_its_run(alice: Caller, session: str) -> None:
    run = alice.background(session, "[[sim slow n=500 delay=50ms]]")["runId"]
    assert ok(alice.get(session))["activeRun"]["runId"] == run
    assert alice("DELETE", session).status_code == 204
    ended = alice.finished(session, run)
    assert (ended["status"], ended["error"]["code"]) == ("cancelled", "RUN_CANCELLED")
    assert ok(alice.get(session))["activeRun"] is None


@pytest.mark.parametrize("name", ["not-a-uuid", NOWHERE, NOWHERE.replace("-", ""), "%00", "é"])
def test_an_id_that_is_nobodys_is_not_found(alice: Caller, name: str) -> None:
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/messages")):
        body = {} if method == "PATCH" else None
        refused(alice(method, f"/sessions/{name}{path}", body), 404, "SESSION_NOT_FOUND")


def test_an_id_is_the_same_in_capitals(alice: Caller, session: str) -> None:
    identity = session.rpartition("/")[2]
    assert ok(alice.get(f"/sessions/{identity.upper()}"))["sessionId"] == identity
