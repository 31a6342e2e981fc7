"""`Idempotency-Key`: a POST sent twice is done once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import requests
from django.utils import timezone

from sessions_app.models import IdempotencyRecord
from tests.api.caller import (
    Caller,
    ServerDatabase,
    all_at_once,
    events_of,
    ok,
    refused,
    wrong_fields,
)
from tests.api.conftest import Issue

ONCE = {"Idempotency-Key": "once-1"}
SLOW = "[[sim slow n=400 delay=25ms]]"


def runs(caller: Caller, session: str) -> int:
    return len(ok(caller.get(f"{session}/runs"))["runs"])


def same(first: requests.Response, second: requests.Response) -> None:
    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers.get("location") == first.headers.get("location")


def test_a_session_is_made_once(alice: Caller) -> None:
    first = alice.post("/sessions", {"title": "a", "metadata": {"b": 1}}, headers=ONCE)
    alice("DELETE", f"/sessions/{first.json()['sessionId']}")
    other_order = {"metadata": {"b": 1}, "title": "a"}
    same(first, alice.post("/sessions/", other_order, headers=ONCE))
    assert ok(alice.get("/sessions", status="all"))["total"] == 1


@pytest.mark.parametrize("path", ["fork", "tickets", "cancel"])
def test_so_is_everything_else_that_is_posted(alice: Caller, session: str, path: str) -> None:
    first = alice.post(f"{session}/{path}", headers=ONCE)
    same(first, alice.post(f"{session}/{path}", headers=ONCE))


@pytest.mark.parametrize("extra", [{}, {"background": True}])
def test_a_message_is_sent_once(alice: Caller, session: str, extra: dict[str, Any]) -> None:
    body = {"prompt": "x", **extra}
    first = alice.post(f"{session}/messages", body, headers=ONCE)
    alice.finished(session, first.json()["runId"])
    same(first, alice.post(f"{session}/messages", body, headers=ONCE))
    assert runs(alice, session) == 1


def test_a_failure_is_given_again_as_such(alice: Caller, session: str) -> None:
    body = {"prompt": "[[sim status code=400]]"}
    first, second = (alice.post(f"{session}/messages", body, headers=ONCE) for _ in range(2))
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert first.json()["error"] == refused(second, 502, "UPSTREAM_REJECTED")


@pytest.mark.parametrize(("path", "extra"), [("messages", {"stream": True}), ("stream", {})])
def test_a_stream_is_given_again_from_its_start(
    alice: Caller, session: str, path: str, extra: dict[str, Any]
) -> None:
    alice.say(session)
    heard = []
    for replayed in (None, "true"):
        body = {"prompt": "x", **extra}
        with alice.post(f"{session}/{path}", body, headers=ONCE, stream=True) as answer:
            assert answer.headers.get("idempotency-replayed") == replayed
            heard.append([event for event in events_of(answer) if event.id is not None])
    assert heard[0] == heard[1]
    assert runs(alice, session) == 2


def test_what_still_runs_says_so(alice: Caller, session: str) -> None:
    body = {"prompt": SLOW}
    with alice.post(f"{session}/stream", body, headers=ONCE, stream=True) as first:
        run = next(events_of(first)).data["runId"]
        answer = Caller(alice.url, alice.text).post(f"{session}/stream", body, headers=ONCE)
        error = refused(answer, 409, "IDEMPOTENCY_IN_PROGRESS")
        assert error["details"] == {"runId": run}
        alice.post(f"{session}/cancel")


def test_what_was_accepted_in_the_background_stays_accepted(alice: Caller, session: str) -> None:
    body = {"prompt": SLOW, "background": True}
    first = alice.post(f"{session}/messages", body, headers=ONCE)
    same(first, alice.post(f"{session}/messages", body, headers=ONCE))
    alice.post(f"{session}/cancel")


def test_another_request_under_the_same_key_conflicts(alice: Caller, session: str) -> None:
    alice.post("/sessions", {"title": "a"}, headers=ONCE)
    for path, body in (
        ("/sessions", {"title": "b"}),
        ("/sessions", {}),
        (f"{session}/fork", {"title": "a"}),
        (f"{session}/messages", {"prompt": "x"}),
    ):
        answer = alice.post(path, body, headers=ONCE)
        if "fork" not in path:  # that one has an unknown field
            refused(answer, 422, "IDEMPOTENCY_CONFLICT")
    assert runs(alice, session) == 0


def test_keys_of_two_tenants_do_not_meet(alice: Caller, bob: Caller) -> None:
    ids = {c.post("/sessions", headers=ONCE).json()["sessionId"] for c in (alice, bob)}
    assert len(ids) == 2


def test_a_request_that_was_refused_may_be_tried_again(alice: Caller, session: str) -> None:
    run = alice.background(session, SLOW)["runId"]
    body = {"prompt": "x"}
    refused(alice.post(f"{session}/messages", body, headers=ONCE), 409, "SESSION_BUSY")
    alice.post(f"{session}/cancel")
    alice.finished(session, run)
    assert (
        "idempotency-replayed" not in alice.post(f"{session}/messages", body, headers=ONCE).headers
    )
    assert wrong_fields(alice.post("/sessions", {"nope": 1}, headers={"Idempotency-Key": "2"}))
    assert alice.post("/sessions", headers={"Idempotency-Key": "2"}).status_code == 201


def test_a_failed_run_is_given_again_as_it_was(alice: Caller, session: str) -> None:
    body = {"prompt": "[[sim status code=400]]"}
    first = alice.post(f"{session}/messages", body, headers=ONCE)
    again = alice.post(f"{session}/messages", body, headers=ONCE)
    assert refused(again, 502, "UPSTREAM_REJECTED") == refused(first, 502, "UPSTREAM_REJECTED")
    assert runs(alice, session) == 1


def test_after_a_day_the_key_is_free_again(alice: Caller, database: ServerDatabase) -> None:
    first = alice.post("/sessions", headers=ONCE).json()["sessionId"]
    with database.open() as alias:
        old = timezone.now() - timedelta(hours=24, seconds=1)
        IdempotencyRecord.objects.using(alias).filter(key=alice.key).update(created_at=old)
    assert alice.post("/sessions", headers=ONCE).json()["sessionId"] != first


@pytest.mark.parametrize("value", ["", "x" * 256, "é".encode().decode("latin-1")])
def test_a_malformed_key_is_refused(alice: Caller, session: str, value: str) -> None:
    headers = {"Idempotency-Key": value}
    for path, body in (("/sessions", {}), (f"{session}/messages", {"prompt": "x"})):
        assert wrong_fields(alice.post(path, body, headers=headers)) == {"Idempotency-Key"}


def test_of_many_at_once_one_is_done(join: Issue) -> None:
    bob = join("Bob")

    def create(_: int) -> Any:
        own = Caller(bob.url, bob.text)
        return own.post("/sessions", headers=ONCE).json()["sessionId"]

    assert len(set(all_at_once(12, create))) == 1
    assert ok(bob.get("/sessions"))["total"] == 1
    session = bob.session()

    def send(_: int) -> int:
        own = Caller(bob.url, bob.text)
        body = {"prompt": "x", "background": True}
        return own.post(f"{session}/messages", body, headers={"Idempotency-Key": "2"}).status_code

    assert set(all_at_once(12, send)) <= {202, 409}
    assert runs(bob, session) == 1
