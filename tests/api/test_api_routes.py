"""Paths, methods and headers."""

from __future__ import annotations

import re
import uuid

import pytest

from tests.api.caller import NOWHERE, Caller, created, events_of, ok, refused

RATE = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")

ROUTES = [
    ("/sessions", {"GET", "POST"}),
    ("{s}", {"GET", "PATCH", "DELETE"}),
    ("{s}/fork", {"POST"}),
    ("{s}/cancel", {"POST"}),
    ("{s}/tickets", {"POST"}),
    ("{s}/messages", {"GET", "POST"}),
    ("{s}/stream", {"GET", "POST"}),
    ("{s}/events", {"GET"}),
    ("{s}/runs", {"GET"}),
    ("{s}/runs/{r}", {"GET"}),
    ("{s}/approvals", {"GET"}),
    ("{s}/approvals/{r}", {"POST"}),
    ("/models", {"GET"}),
    ("/me", {"GET"}),
    ("/usage", {"GET"}),
    ("/health", {"GET"}),
]


def allowed(header: str) -> set[str]:
    return {name.strip() for name in header.split(",")} - {"HEAD"}


@pytest.mark.parametrize(("route", "methods"), ROUTES)
def test_a_method_that_a_path_does_not_have_is_named_with_those_it_has(
    alice: Caller, session: str, route: str, methods: set[str]
) -> None:
    path = route.format(s=session, r=NOWHERE)
    for slash in ("", "/"):
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - methods:
            answer = alice(method, path + slash, any="thing")
            refused(answer, 405, "METHOD_NOT_ALLOWED")
            assert allowed(answer.headers["allow"]) == methods, (method, path)


@pytest.mark.parametrize(("route", "methods"), ROUTES)
def test_what_a_path_takes_can_be_asked(
    alice: Caller, session: str, route: str, methods: set[str]
) -> None:
    answer = alice("OPTIONS", route.format(s=session, r=NOWHERE))
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert allowed(answer.headers["allow"]) == methods


GETS = ["/sessions", "{s}", "{s}/messages", "{s}/events", "{s}/runs", "{s}/runs/{r}"]
GETS += ["{s}/approvals", "/models", "/me", "/usage", "/health"]


@pytest.fixture
def known(alice: Caller, session: str) -> dict[str, str]:
    run = alice.say(session)["runId"]
    return {"s": session, "r": run}


def test_a_slash_at_the_end_and_head_change_nothing(alice: Caller, known: dict[str, str]) -> None:
    for route in GETS:
        path = route.format(**known)
        plain, slashed, head = alice.get(path), alice.get(f"{path}/"), alice("HEAD", path)
        assert (plain.status_code, slashed.status_code) == (200, 200), path
        assert set(plain.json()) == set(slashed.json())
        assert (head.status_code, head.content) == (200, b""), path


def test_every_post_works_with_a_slash_too(alice: Caller) -> None:
    session = f"/sessions/{created(alice.post('/sessions/'))['sessionId']}"
    assert ok(alice.post(f"{session}/messages/", {"prompt": "x"}))["response"]
    with alice("POST", f"{session}/stream/", {"prompt": "x"}, stream=True) as answer:
        assert [e.name for e in events_of(answer)][-1] == "complete"
    with alice("GET", f"{session}/stream/", prompt="x", stream=True) as answer:
        assert [e.name for e in events_of(answer)][-1] == "complete"
    for path, status in (("fork", 201), ("tickets", 201), ("cancel", 202)):
        assert alice.post(f"{session}/{path}/").status_code == status


def test_head_of_a_stream_starts_nothing(alice: Caller, session: str) -> None:
    answer = alice("HEAD", f"{session}/stream", prompt="x")
    assert answer.status_code == 405
    assert ok(alice.get(f"{session}/runs"))["runs"] == []


@pytest.mark.parametrize("path", ["/nope", "/sessions/x/y/z", "//nope", "//api/v2/sessions", "//"])
def test_an_unknown_path_is_not_found_in_the_envelope(nobody: Caller, path: str) -> None:
    answer = nobody.get(path)
    if path != "//":
        refused(answer, 404, "NOT_FOUND")
    refused(nobody.post(path if path != "//" else "/x"), 404, "NOT_FOUND")


def test_the_servers_own_pages_need_no_key(nobody: Caller) -> None:
    health = ok(nobody.get("/health"))
    assert health["status"] == "healthy"
    assert set(health["sessions"]) == {"active", "total"}
    assert set(health["runs"]) == {"active", "queued"}
    assert {"version", "timestamp"} <= set(health)
    assert nobody.get("//livez").status_code == 200
    assert "checks" in ok(nobody.get("//readyz"))
    assert "claudeapi" in nobody.get("//metrics").text
    for path in ("//api/schema/", "//api/docs/", "//api/redoc/", "//api/schema", "//api/docs"):
        assert nobody.get(path).status_code == 200, path


def test_every_other_route_needs_a_key(nobody: Caller) -> None:
    for route, methods in ROUTES[:-1]:
        for method in methods:
            answer = nobody(method, route.format(s=f"/sessions/{NOWHERE}", r=NOWHERE))
            refused(answer, 401, "MISSING_API_KEY")
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_key_in_the_query_is_none(alice: Caller, nobody: Caller) -> None:
    refused(nobody.get("/me", api_key=alice.text), 401, "MISSING_API_KEY")


def test_a_key_may_come_as_a_bearer_token(alice: Caller, nobody: Caller) -> None:
    assert ok(nobody.get("/me", headers={"Authorization": f"Bearer {alice.text}"}))


def test_html_is_not_to_be_had(alice: Caller, session: str) -> None:
    for path in ("/sessions", session, f"{session}/messages"):
        refused(alice.get(path, headers={"Accept": "text/html"}), 406, "NOT_ACCEPTABLE")
    assert ok(alice.get("/sessions", headers={"Accept": "text/html, */*;q=0.1"}))


def test_rate_headers_are_on_every_answer_to_a_key(alice: Caller, session: str) -> None:
    alice.say(session)
    answers = [
        alice.get("/sessions"),
        alice.post("/sessions"),
        alice.post("/sessions", {"nope": 1}),
        alice.get(f"/sessions/{NOWHERE}"),
        alice("PUT", session),
        alice.post(f"{session}/messages", {"prompt": "x"}),
        alice.post(f"{session}/messages", {"prompt": "x", "background": True}),
        alice.post(f"{session}/messages", {"prompt": ""}),
        alice("POST", f"{session}/messages", data=b"{"),
        alice.post(f"/sessions/{NOWHERE}/messages", {"prompt": "x"}),
        alice.get(f"{session}/stream", after="x"),
        alice.post(f"{session}/stream", {"prompt": "x", "onBusy": "enqueue"}, stream=True),
        alice("DELETE", session),
    ]
    left = [int(answer.headers[RATE[1]]) for answer in answers]
    assert left == sorted(left, reverse=True)
    assert len(set(left)) == len(left)
    for answer in answers:
        answer.close()
        assert all(answer.headers[name].isdigit() for name in RATE)


@pytest.mark.parametrize("path", ["/sessions", "/health", "/nope", f"/sessions/{NOWHERE}/stream"])
def test_a_request_id_is_taken_over_or_made(alice: Caller, path: str) -> None:
    def sent(value: str) -> str:
        return alice.get(path, headers={"X-Request-ID": value}).headers["x-request-id"]

    for good in ("a", "A-z_0.9", "x" * 128):
        assert sent(good) == good
    for bad in ("", "x" * 129, "a b", "a/b", "é".encode().decode("latin-1"), "<script>"):
        assert uuid.UUID(sent(bad))
    assert uuid.UUID(alice.get(path).headers["x-request-id"])


def test_a_runs_request_id_is_that_of_its_request(alice: Caller, session: str) -> None:
    headers = {"X-Request-ID": "mine-1"}
    run = alice.post(f"{session}/messages", {"prompt": "x"}, headers=headers).json()["runId"]
    assert ok(alice.get(f"{session}/runs/{run}"))["requestId"] == "mine-1"


def test_the_callers_key_describes_itself(alice: Caller) -> None:
    me = ok(alice.get("/me"))
    assert me["name"] == "Alice"
    assert re.fullmatch(r"capi_[A-Za-z0-9]{12}", me["prefix"])
    assert alice.text is not None
    assert alice.text not in str(me)
    assert set(me["scopes"]) == {
        "sessions:read", "sessions:write", "approvals:write", "usage:read",
    }  # fmt: skip
    assert {"policy", "limits"} <= set(me)


def test_models_are_the_upstreams_within_what_the_key_allows(alice: Caller) -> None:
    models = ok(alice.get("/models"))["models"]
    assert models
    assert all({"id", "name"} <= set(model) for model in models)
