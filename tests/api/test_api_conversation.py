"""Messages: what reaches the upstream, what is kept, what it costs."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from keys_app.models import ApiKey
from sessions_app.api import pages
from sessions_app.models import Message, Session
from tests.api.caller import Caller, created, events_of, ok, refused, wrong_fields

PNG = base64.b64encode(b"\x89PNG not really").decode()
SLOW = "[[sim slow n=400 delay=25ms]]"


def assert_begins_here(caller: Caller, session: str) -> None:
    """The model knows of nothing that was said before."""
    assert "first message of the conversation" in caller.say(session, "one")["response"]
    assert 'the first was: "one"' in caller.say(session, "two")["response"]


def test_the_whole_conversation_reaches_the_upstream(alice: Caller, session: str) -> None:
    assert "first message" in alice.say(session, "My name is Ada.")["response"]
    reply = alice.say(session, "What is my name?")["response"]
    assert "My name is Ada." in reply
    assert "2 earlier messages" in reply


def test_a_reply_has_every_field(alice: Caller, session: str) -> None:
    body = alice.say(session)
    assert {
        "messageId", "runId", "sessionId", "claudeSessionId", "response", "stopReason", "usage",
        "costUsd", "durationMs",
    } <= set(body)  # fmt: skip
    assert body["stopReason"] == "end_turn"
    run = ok(alice.get(f"{session}/runs/{body['runId']}"))
    assert {
        "runId", "messageId", "status", "createdAt", "startedAt", "finishedAt", "stopReason",
        "error", "usage", "costUsd", "requestId",
    } <= set(run)  # fmt: skip
    for name in ("messageId", "usage", "costUsd", "stopReason"):
        assert run[name] == body[name]


def test_history_is_read_from_the_cache_and_costs_add_up(alice: Caller, session: str) -> None:
    replies = [alice.say(session, "word " * 2000), alice.say(session, "And now?")]
    assert replies[1]["usage"]["cacheReadTokens"] > 1000
    cost = sum(Decimal(reply["costUsd"]) for reply in replies)
    assert cost > 0
    detail = ok(alice.get(session))
    assert Decimal(detail["costUsd"]) == cost
    for name, total in detail["usage"].items():
        assert total == sum(reply["usage"][name] for reply in replies)
    for group in ("day", "model", "session", "key"):
        usage = ok(alice.get("/usage", groupBy=group))
        assert len(usage["usage"]) == 1
        assert Decimal(usage["total"]["costUsd"]) == cost
        assert usage["total"]["runs"] == 2
        assert usage["total"]["inputTokens"] == detail["usage"]["inputTokens"]
    assert ok(alice.get("/usage", **{"to": "2020-01-01"}))["total"]["runs"] == 0


def test_a_prompt_may_be_blocks(alice: Caller, session: str) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    text = {"type": "text", "media_type": "text/plain", "data": "A document."}
    prompt = [
        {"type": "text", "text": "See these."},
        {"type": "image", "source": source},
        {"type": "document", "source": text, "title": "Paper"},
    ]
    assert "See these." in alice.say(session, prompt)["response"]
    kept = ok(alice.get(f"{session}/messages"))["messages"][0]["content"]["message"]
    assert kept == {"role": "user", "content": prompt}


def test_many_megabytes_are_a_prompt_too(alice: Caller, session: str) -> None:
    prompt = "x" * (8 * 2**20)
    assert alice.say(session, prompt, timeout=60_000)["stopReason"] == "end_turn"


def test_unicode_comes_back_as_it_was(alice: Caller, session: str) -> None:
    text = "Grüße \U0001f9c0 \u202eabc \u2028 日本"
    assert alice.say(session, f'[[sim text "{text}"]]')["response"] == text


def test_history_comes_in_pages(alice: Caller, session: str) -> None:
    for number in range(3):
        alice.say(session, f"message {number}")
    everything = ok(alice.get(f"{session}/messages"))
    total = everything["pagination"]["total"]
    assert everything["pagination"] == {
        "limit": 100, "offset": 0, "total": total, "hasMore": False,
    }  # fmt: skip
    paged: list[Any] = []
    while True:
        page = ok(alice.get(f"{session}/messages", limit=2, offset=len(paged)))
        paged += page["messages"]
        if not page["pagination"]["hasMore"]:
            break
    assert paged == everything["messages"]
    sequences = [message["sequence"] for message in paged]
    assert sequences == sorted(set(sequences))
    first = paged[0]
    assert set(first) == {
        "id", "runId", "type", "subtype", "content", "sequence", "timestamp", "source",
    }  # fmt: skip
    assert (first["type"], first["source"]) == ("user", "user")
    assert ok(alice.get(f"{session}/messages", offset=10**6))["messages"] == []
    assert ok(alice.get(session))["messageCount"] == total


def test_runs_come_in_pages_newest_first(alice: Caller, session: str) -> None:
    made = [alice.say(session)["runId"] for _ in range(3)]
    page = ok(alice.get(f"{session}/runs", limit=2))
    assert [run["runId"] for run in page["runs"]] == made[:0:-1]
    rest = ok(alice.get(f"{session}/runs", limit=2, cursor=page["nextCursor"]))
    assert ([run["runId"] for run in rest["runs"]], rest["nextCursor"]) == ([made[0]], None)


def test_the_log_is_the_stream_as_json(alice: Caller, session: str) -> None:
    with alice.post(f"{session}/stream", {"prompt": "x"}, stream=True) as answer:
        heard = [event for event in events_of(answer) if event.id is not None]
    logged: list[Any] = []
    after = 0
    while True:
        page = ok(alice.get(f"{session}/events", after=after, limit=3))
        logged += page["events"]
        after = page["lastEventId"]
        if not page["hasMore"]:
            break
    assert [(e["id"], e["event"], e["data"]) for e in logged] == heard
    assert after == ok(alice.get(session))["lastEventId"]
    nothing = ok(alice.get(f"{session}/events", after=after))
    assert nothing == {"events": [], "lastEventId": after, "hasMore": False}


def test_a_busy_session_says_with_what(alice: Caller, session: str) -> None:
    run = alice.background(session, SLOW)["runId"]
    for extra in ({}, {"stream": True}, {"background": True}):
        answer = alice.post(f"{session}/messages", {"prompt": "x", **extra})
        assert refused(answer, 409, "SESSION_BUSY")["details"]["runId"] == run
    queued = alice.background(session, "x", onBusy="enqueue")["runId"]
    assert ok(alice.get(f"{session}/runs/{queued}"))["status"] == "queued"
    assert alice.post(f"{session}/cancel").json()["runId"] == run
    assert alice.finished(session, run)["status"] == "cancelled"
    assert alice.finished(session, queued)["status"] == "cancelled"


def test_cancelling_nothing_is_accepted(alice: Caller, session: str) -> None:
    answer = alice.post(f"{session}/cancel")
    assert (answer.status_code, set(answer.json())) == (202, {"runId", "status"})
    assert answer.json()["runId"] is None


def test_a_background_message_says_where_to_look(alice: Caller, session: str) -> None:
    answer = alice.post(f"{session}/messages", {"prompt": "x", "background": True})
    body = answer.json()
    assert {"messageId", "runId", "status"} <= set(body)
    assert answer.headers["location"] == f"/api/v1{session}/runs/{body['runId']}"
    assert alice.finished(session, body["runId"])["status"] == "completed"


def test_a_callers_own_bound_cancels_the_run(alice: Caller, session: str) -> None:
    answer = alice.post(f"{session}/messages", {"prompt": SLOW, "timeout": 300})
    run = refused(answer, 408, "REQUEST_TIMEOUT")["details"]["runId"]
    assert ok(alice.get(f"{session}/runs/{run}"))["status"] == "cancelled"


@pytest.mark.parametrize("how", ["fork", "resume", "resume and fork"])
def test_a_branch_carries_on_by_itself(alice: Caller, session: str, how: str) -> None:
    alice.say(session, "My name is Ada.")
    identity = session.rpartition("/")[2]
    if how == "fork":
        answer = alice.post(f"{session}/fork")
    else:
        answer = alice.post("/sessions", {"resume": identity, "fork": how != "resume"})
    branch = created(answer)
    assert branch["sessionId"] != identity
    assert branch["messageCount"] == ok(alice.get(session))["messageCount"]
    path = f"/sessions/{branch['sessionId']}"
    assert "My name is Ada." in alice.say(path, "What is my name?")["response"]
    assert len(ok(alice.get(f"{session}/runs"))["runs"]) == 1
    assert branch["costUsd"] == "0.00"


def test_a_fork_may_stop_at_an_earlier_message(alice: Caller, session: str) -> None:
    alice.say(session, "one")
    alice.say(session, "two")
    messages = ok(alice.get(f"{session}/messages"))["messages"]
    at = next(m for m in messages if m["type"] == "assistant")
    branch = created(alice.post(f"{session}/fork", {"atMessage": at["id"]}))
    assert (
        "2 earlier messages" in alice.say(f"/sessions/{branch['sessionId']}", "three")["response"]
    )
    for wrong in (branch["sessionId"], "x", 5, None):
        answer = alice.post(f"{session}/fork", {"atMessage": wrong})
        assert wrong_fields(answer) == {"atMessage"}


def test_a_message_the_upstream_rejects_does_not_spoil_the_session(
    alice: Caller, session: str
) -> None:
    answer = alice.post(f"{session}/messages", {"prompt": "[[sim status code=400]]"})
    refused(answer, 502, "UPSTREAM_REJECTED")
    assert alice.say(session, "Still there?")["stopReason"] == "end_turn"


def test_a_prompt_whose_run_was_stopped_before_any_reply_is_not_sent_again(
    alice: Caller, session: str
) -> None:
    answer = alice.post(f"{session}/messages", {"prompt": "[[sim silence]]", "timeout": 500})
    refused(answer, 408, "REQUEST_TIMEOUT")
    assert_begins_here(alice, session)
    shown = ok(alice.get(f"{session}/messages"))["messages"]
    assert [entry["source"] for entry in shown] == ["user", *["user", "sdk", "sdk"] * 2]


def test_what_was_said_before_a_run_was_stopped_is_sent_again(alice: Caller, session: str) -> None:
    with alice.post(f"{session}/stream", {"prompt": SLOW}, stream=True) as answer:
        events = events_of(answer)
        while "tok1" not in str(next(events).data):
            pass
        alice.post(f"{session}/cancel")
        assert [event.name for event in events][-1] == "error"
    assert "has 2 earlier messages" in alice.say(session, "How many messages?")["response"]


def test_what_was_interrupted_before_any_reply_is_a_part_of_what_was_asked(
    alice: Caller, session: str
) -> None:
    alice.background(session, "[[sim silence]]")
    with alice("GET", f"{session}/stream", stream=True, after=0) as answer:
        next(event for event in events_of(answer) if event.name == "message")
    alice.say(session, "and in German", onBusy="interrupt")
    assert 'the first was: "[[sim silence]]"' in alice.say(session, "What was first?")["response"]


@pytest.mark.parametrize("how", ["fork", "resume"])
def test_a_branch_does_not_send_what_is_being_answered(
    alice: Caller, session: str, how: str
) -> None:
    alice.background(session, "[[sim silence]]")
    identity = session.rpartition("/")[2]
    with alice("GET", f"{session}/stream", stream=True, after=0) as answer:
        next(event for event in events_of(answer) if event.name == "message")
    fork = how == "fork"
    answer = alice.post(
        f"{session}/fork" if fork else "/sessions", {} if fork else {"resume": identity}
    )
    branch = created(answer)
    assert branch["messageCount"] == 1
    assert_begins_here(alice, f"/sessions/{branch['sessionId']}")
    alice.post(f"{session}/cancel")


@pytest.mark.parametrize("fork", [True, False])
def test_a_branch_does_not_send_a_rejected_message_again(
    alice: Caller, session: str, fork: bool
) -> None:
    alice.post(f"{session}/messages", {"prompt": "[[sim status code=400]]"})
    branch = created(alice.post("/sessions", {"resume": session.split("/")[-1], "fork": fork}))
    assert branch["messageCount"] == 1
    assert_begins_here(alice, f"/sessions/{branch['sessionId']}")


@pytest.mark.django_db
def test_a_page_of_history_is_bounded_in_bytes() -> None:
    key = ApiKey.objects.create(name="Alice", secret_hash="x")
    session = Session.objects.create(key=key, timeout_ms=1, expires_at=timezone.now())
    for at, size in enumerate((pages.PAGE_BYTES * 2, 7 * 2**20, 7 * 2**20, 7 * 2**20)):
        Message.objects.create(session=session, sequence=at, content="x" * size)
    rows = Message.objects.order_by("sequence")
    found = [[row.sequence for row in pages.slice_of(rows, "content", at, 100)] for at in range(5)]
    assert found == [[0], [1, 2], [2, 3], [3], []]
