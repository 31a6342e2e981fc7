"""The option tree: who needs a key, and the keys of the environment."""

from __future__ import annotations

import json

from tests.api.caller import NOWHERE, Caller, created, ok, refused
from tests.api.conftest import ROOMY
from tests.conftest import StartServer
from tests.server_process import ALICE, BOB, ServerProcess


def test_keys_of_the_environment_are_tenants_of_their_own(server: ServerProcess) -> None:
    alice, bob = Caller(server.url, ALICE), Caller(server.url, BOB)
    session = alice.session()
    refused(bob.get(session), 404, "SESSION_NOT_FOUND")
    prefixes = {ok(caller.get("/me"))["prefix"] for caller in (alice, bob)}
    assert len(prefixes) == 2
    assert all(prefix.startswith("env_") for prefix in prefixes)
    assert "admin" not in ok(alice.get("/me"))["scopes"]


def test_only_the_routes_named_need_a_key(start_server: StartServer) -> None:
    tree = {"auth": {"requireAuth": ["POST /sessions/:id/messages", "GET /usage"]}}
    server = start_server(CLAUDE_CODE_API=json.dumps(tree), **ROOMY)
    nobody, alice = Caller(server.url, None), Caller(server.url, ALICE)
    session = nobody.session()
    assert ok(nobody.get("/me"))["prefix"] == "anonymous"
    body = {"prompt": "x"}
    for path in (f"{session}/messages", f"{session}/messages/", f"{session}/m%65ssages"):
        refused(nobody.post(path, body), 401, "MISSING_API_KEY")
    shouted = nobody.post(f"{session}/MESSAGES", body)
    assert shouted.status_code in (401, 404)
    refused(nobody.get("/usage"), 401, "MISSING_API_KEY")
    refused(alice.get(session), 404, "SESSION_NOT_FOUND")
    wrong = Caller(server.url, "wrong-key-0123456789")
    refused(wrong.get(session), 401, "INVALID_API_KEY")


def test_without_authentication_everybody_is_one_tenant(start_server: StartServer) -> None:
    server = start_server(AUTH_ENABLED="false", **ROOMY)
    nobody, alice = Caller(server.url, None), Caller(server.url, ALICE)
    session = nobody.session()
    assert ok(alice.get(session))
    assert nobody.say(session)["response"]
    refused(nobody.get(f"/sessions/{NOWHERE}"), 404, "SESSION_NOT_FOUND")
    assert created(alice.post("/sessions"))["sessionId"]


def test_without_authentication_a_foreign_page_sends_no_message_by_any_method(
    start_server: StartServer,
) -> None:
    nobody = Caller(start_server(AUTH_ENABLED="false", **ROOMY).url, None)
    session, page = nobody.session(), {"Sec-Fetch-Site": "cross-site"}
    for answer in (
        nobody.get(f"{session}/stream", prompt="x", headers=page),
        nobody.post(f"{session}/messages", {"prompt": "x"}, headers=page),
        nobody.post(f"{session}/fork", headers=page),
    ):
        details = refused(answer, 403, "POLICY_DENIED")["details"]
        assert details == {"field": "Origin", "requested": "cross-site", "allowed": []}
    assert ok(nobody.get(session, headers=page))["messageCount"] == 0
    own = {"Sec-Fetch-Site": "same-origin"}
    assert "event: complete" in nobody.get(f"{session}/stream", prompt="x", headers=own).text
