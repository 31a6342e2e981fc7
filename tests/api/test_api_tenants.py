"""Whose a session is: what belongs to another key does not exist; scopes and policy."""

from __future__ import annotations

from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.api.caller import NOWHERE, Caller, created, ok, refused
from tests.api.conftest import Issue

# method, path below a session, body, the scope it needs
ROUTES: list[tuple[str, str, Any, str]] = [
    ("GET", "", None, "sessions:read"),
    ("PATCH", "", {"title": "mine"}, "sessions:write"),
    ("DELETE", "", None, "sessions:write"),
    ("POST", "/fork", {}, "sessions:write"),
    ("POST", "/cancel", {}, "sessions:write"),
    ("POST", "/tickets", {}, "sessions:read"),
    ("GET", "/messages", None, "sessions:read"),
    ("POST", "/messages", {"prompt": "x"}, "sessions:write"),
    ("POST", "/messages", {"prompt": "x", "stream": True}, "sessions:write"),
    ("POST", "/messages", {"prompt": "x", "background": True}, "sessions:write"),
    ("POST", "/stream", {"prompt": "x"}, "sessions:write"),
    ("GET", "/stream", None, "sessions:read"),
    ("GET", "/stream?prompt=x", None, "sessions:write"),
    ("GET", "/stream?after=0", None, "sessions:read"),
    ("GET", "/events", None, "sessions:read"),
    ("GET", "/runs", None, "sessions:read"),
    ("GET", "/runs/{run}", None, "sessions:read"),
    ("GET", "/approvals", None, "sessions:read"),
    ("POST", "/approvals/{run}", {"decision": "allow"}, "approvals:write"),
]
SCOPES = ("sessions:read", "sessions:write", "approvals:write", "usage:read")


def test_every_route_tells_a_stranger_that_there_is_nothing(
    alice: Caller, mallory: Caller, session: str
) -> None:
    run = alice.say(session)["runId"]
    before = ok(alice.get(session))
    for method, path, body, _ in ROUTES:
        below = path.format(run=run)
        real = refused(mallory(method, session + below, body), 404, "SESSION_NOT_FOUND")
        missing = mallory(method, f"/sessions/{NOWHERE}{below}", body)
        identity = session.rpartition("/")[2]
        assert str(real).replace(identity, NOWHERE) == str(missing.json()["error"])
    assert ok(alice.get(session)) == before


def test_a_stranger_can_not_resume_find_or_list_it(
    alice: Caller, mallory: Caller, session: str
) -> None:
    identity = session.rpartition("/")[2]
    claude = ok(alice.get(session))["claudeSessionId"]
    for name in (identity, claude):
        refused(mallory.post("/sessions", {"resume": name}), 404, "SESSION_NOT_FOUND")
    assert ok(mallory.get("/sessions", status="all"))["total"] == 0


def test_a_run_of_one_session_is_not_found_in_another(alice: Caller, session: str) -> None:
    run = alice.say(session)["runId"]
    refused(alice.get(f"{alice.session()}/runs/{run}"), 404, "RUN_NOT_FOUND")


def socket_refusal(caller: Caller, path: str) -> tuple[str, int]:
    url = caller.url.replace("http", "ws") + "/ws/v1" + path
    headers = {"x-api-key": caller.text} if caller.text else {}
    with connect(url, additional_headers=headers, open_timeout=20, proxy=None) as socket:
        frame = str(socket.recv(timeout=20))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=20)
        assert closed.value.rcvd is not None
        return frame, closed.value.rcvd.code


def test_a_strangers_socket_is_refused_like_one_to_nowhere(
    mallory: Caller, nobody: Caller, session: str
) -> None:
    frame, code = socket_refusal(mallory, session)
    assert code == 4404
    assert '"SESSION_NOT_FOUND"' in frame
    assert socket_refusal(mallory, f"/sessions/{NOWHERE}")[1] == 4404
    assert socket_refusal(nobody, session)[1] == 4401


def test_a_ticket_is_for_one_session_one_time(alice: Caller, nobody: Caller, session: str) -> None:
    other = alice.session()
    alice.say(session)

    def ticket() -> str:
        body = created(alice.post(f"{session}/tickets"))
        assert set(body) == {"ticket", "expiresAt"}
        return str(body["ticket"])

    one = ticket()
    refused(nobody.get(f"{other}/stream", ticket=one), 401, "INVALID_API_KEY")
    with nobody("GET", f"{session}/stream", ticket=one, after=0, stream=True) as answer:
        assert answer.status_code == 200
        assert "x-ratelimit-limit" in answer.headers
    refused(nobody.get(f"{session}/stream", ticket=one), 401, "INVALID_API_KEY")
    refused(nobody.get(session, headers={"x-api-key": ticket()}), 401, "INVALID_API_KEY")


def test_an_admin_sees_and_steers_every_session(alice: Caller, issue: Issue, session: str) -> None:
    operator = issue("Operator", scopes=["admin"])
    identity = session.rpartition("/")[2]
    assert ok(operator.get(session))["sessionId"] == identity
    listed = ok(operator.get("/sessions", limit=1000))["sessions"]
    assert identity in {found["sessionId"] for found in listed}
    run = operator.say(session)["runId"]
    assert ok(alice.get(f"{session}/runs/{run}"))["status"] == "completed"
    assert operator("DELETE", session).status_code == 204
    assert ok(alice.get(session))["status"] == "ended"


def test_an_admins_branch_of_anothers_session_is_its_own(issue: Issue) -> None:
    alice, operator = issue("Alice", max_sessions=1), issue("Operator", scopes=["admin"])
    session = alice.session()
    identity = session.rpartition("/")[2]
    branches = [
        created(operator.post(f"{session}/fork")),
        created(operator.post("/sessions", {"resume": identity, "fork": True})),
    ]
    for branch in branches:
        assert branch["forkedFrom"] == identity
        refused(alice.get(f"/sessions/{branch['sessionId']}"), 404, "SESSION_NOT_FOUND")
    assert ok(alice.get("/sessions"))["total"] == 1
    assert ok(operator.get("/me"))["limits"]["sessions"]["used"] == 2


def test_a_branch_counts_for_the_key_that_makes_it(issue: Issue) -> None:
    alice, operator = issue("Alice"), issue("Operator", scopes=["admin"], max_sessions=1)
    session = alice.session()
    created(operator.post(f"{session}/fork"))
    refused(operator.post(f"{session}/fork"), 429, "MAX_SESSIONS_REACHED")
    created(alice.post(f"{session}/fork"))


def test_each_route_asks_for_its_scope(issue: Issue) -> None:
    keys = {scope: issue("Bob", scopes=[scope]) for scope in SCOPES}
    session = f"/sessions/{NOWHERE}"
    routes = [(method, session + path, body, scope) for method, path, body, scope in ROUTES]
    routes += [
        ("GET", "/sessions", None, "sessions:read"),
        ("POST", "/sessions", {"nope": 1}, "sessions:write"),
        ("GET", "/usage", None, "usage:read"),
        ("GET", "/models", None, "sessions:read"),
    ]
    for method, path, body, needed in routes:
        for scope, caller in keys.items():
            answer = caller(method, path.format(run=NOWHERE), body)
            if scope == needed:
                assert answer.status_code in (200, 400, 404), (method, path, scope)
                continue
            error = refused(answer, 403, "INSUFFICIENT_SCOPE")
            assert error["details"] == {"required": needed, "granted": [scope]}
            assert "x-ratelimit-limit" in answer.headers
    for caller in keys.values():
        assert ok(caller.get("/me"))["name"] == "Bob"


@pytest.mark.parametrize(
    ("policy", "asked", "field", "allowed"),
    [
        ({"engines": ["claude-code"]}, {"engine": "messages"}, "engine", ["claude-code"]),
        ({"models": ["claude-haiku-*"]}, {"model": "claude-opus-5"}, "model", ["claude-haiku-*"]),
        ({"models": ["claude-haiku-*"]}, {}, "model", ["claude-haiku-*"]),
        ({"permission_modes": ["plan"]}, {"permissionMode": "default"}, "permissionMode", ["plan"]),
        ({"permission_modes": ["plan"]}, {"engine": "claude-code"}, "permissionMode", ["plan"]),
        ({"max_turns": 3}, {"maxTurns": 4}, "maxTurns", {"max": 3}),
    ],
)
def test_what_the_keys_policy_does_not_allow_is_denied(
    issue: Issue, policy: dict[str, Any], asked: dict[str, Any], field: str, allowed: Any
) -> None:
    bob = issue("Bob", **policy)
    details = refused(bob.post("/sessions", asked), 403, "POLICY_DENIED")["details"]
    assert set(details) == {"field", "requested", "allowed"}
    assert (details["field"], details["allowed"]) == (field, allowed)
    assert ok(bob.get("/sessions"))["total"] == 0


def test_the_default_number_of_turns_is_within_the_keys(issue: Issue) -> None:
    assert created(issue("Bob", max_turns=3).post("/sessions"))["config"]["maxTurns"] == 3


def test_a_change_is_held_to_the_policy_too(issue: Issue) -> None:
    bob = issue("Bob", models=["claude-haiku-*"], permission_modes=["default"])
    session = bob.session(model="claude-haiku-4-5")
    refused(bob("PATCH", session, {"model": "claude-opus-5"}), 403, "POLICY_DENIED")
    refused(bob("PATCH", session, {"permissionMode": "plan"}), 403, "POLICY_DENIED")
    assert ok(bob.get(session))["model"] == "claude-haiku-4-5"
    assert all("haiku" in model["id"] for model in ok(bob.get("/models"))["models"])
