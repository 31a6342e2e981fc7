"""The list of sessions: pages, statuses, metadata."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sessions_app.models import Session
from tests.api.caller import Caller, ServerDatabase, ok, wrong_fields
from tests.api.conftest import Issue


def ids(answer: Any) -> list[str]:
    return [session["sessionId"] for session in ok(answer)["sessions"]]


def everything(caller: Caller, **query: Any) -> list[str]:
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        body = ok(caller.get("/sessions", **query, **cursor))
        found += [session["sessionId"] for session in body["sessions"]]
        if body["nextCursor"] is None:
            return found
        assert len(body["sessions"]) == query["limit"]
        cursor = {"cursor": body["nextCursor"]}


def test_newest_activity_comes_first(alice: Caller) -> None:
    first, second, third = (alice.session().rpartition("/")[2] for _ in range(3))
    alice.say(f"/sessions/{first}")
    body = ok(alice.get("/sessions"))
    assert [s["sessionId"] for s in body["sessions"]] == [first, third, second]
    assert (body["total"], body["nextCursor"]) == (3, None)
    assert {"sessionId", "engine", "model", "status", "createdAt", "expiresAt"} <= set(
        body["sessions"][0]
    )


@pytest.mark.parametrize("limit", [1, 2, 7, 8])
def test_pages_hold_every_session_once(alice: Caller, limit: int) -> None:
    made = [alice.session().rpartition("/")[2] for _ in range(7)]
    assert everything(alice, limit=limit) == made[::-1]


def test_sessions_of_the_same_moment_are_told_apart_by_pages(
    alice: Caller, database: ServerDatabase
) -> None:
    made = {alice.session().rpartition("/")[2] for _ in range(5)}
    with database.open() as alias:
        Session.objects.using(alias).filter(pk__in=made).update(last_activity=timezone.now())
    found = everything(alice, limit=2)
    assert (len(found), set(found)) == (5, made)


def test_what_does_not_change_is_neither_skipped_nor_repeated(alice: Caller) -> None:
    made = [alice.session().rpartition("/")[2] for _ in range(6)]
    page = ok(alice.get("/sessions", limit=2))
    alice.say(f"/sessions/{made[0]}")  # moves to the front
    alice.session()  # so does a new one
    alice("DELETE", f"/sessions/{made[5]}")  # this one was seen already
    assert ids(alice.get("/sessions", limit=9, cursor=page["nextCursor"])) == made[3:0:-1]


def test_sessions_are_listed_by_status(alice: Caller, database: ServerDatabase) -> None:
    active, ended, late, swept = (alice.session().rpartition("/")[2] for _ in range(4))
    alice("DELETE", f"/sessions/{ended}")
    past = timezone.now() - timedelta(seconds=1)
    with database.open() as alias:
        rows = Session.objects.using(alias)
        rows.filter(pk__in=(late, swept)).update(expires_at=past)
        rows.filter(pk=swept).update(status="expired", ended_at=past)
    assert ids(alice.get("/sessions")) == [active]
    assert ids(alice.get("/sessions", status="active")) == [active]
    assert ids(alice.get("/sessions", status="ended")) == [ended]
    assert ids(alice.get("/sessions", status="expired")) == [swept, late]
    everyone = ok(alice.get("/sessions", status="all"))
    assert [s["status"] for s in everyone["sessions"]] == ["expired", "expired", "ended", "active"]
    assert everyone["total"] == 4


def test_a_session_at_work_is_active_however_late(
    alice: Caller, database: ServerDatabase, session: str
) -> None:
    identity = session.rpartition("/")[2]
    run = alice.background(session, "[[sim slow n=200 delay=20ms]]")["runId"]
    with database.open() as alias:
        Session.objects.using(alias).filter(pk=identity).update(expires_at=timezone.now())
    assert ids(alice.get("/sessions")) == [identity]
    assert ids(alice.get("/sessions", status="expired")) == []
    assert ok(alice.get(session))["status"] == "active"
    alice.post(f"{session}/cancel")
    alice.finished(session, run)


METADATA = {
    "team": "blue",
    "n": 7,
    "half": 0.5,
    "yes": True,
    "none": None,
    "2024": "year",
    "a.b": "dotted",
    'qu"ote': "q",
    "$[0]": "path",
    "a' OR '1'='1": "sql",
    "Käse \U0001f9c0": "gruyère",
    "": "nameless",
    "deep": {"er": 1},
    "digits": "7",
    "big": 2**63,
}


FOUND = [
    ("team", "blue"),
    ("n", "7"),
    ("n", "7.0"),
    ("half", "0.5"),
    ("yes", "true"),
    ("none", "null"),
    ("2024", "year"),
    ("a.b", "dotted"),
    ('qu"ote', "q"),
    ("$[0]", "path"),
    ("a' OR '1'='1", "sql"),
    ("Käse \U0001f9c0", "gruyère"),
    ("", "nameless"),
    ("digits", "7"),
    ("big", str(2**63)),
]


NOT_FOUND = [
    ("team", "Blue"),
    ("team", '"blue"'),
    ("n", "8"),
    ("yes", "1"),
    ("none", ""),
    ("missing", "null"),
    ("deep", "1"),
    ("deep.er", "1"),
    ("deep", '{"er": 1}'),
    ("0", "path"),
    ("%", "%"),
    ("team' --", "x"),
    ("n", "1e400"),
    ("n", "9" * 400),
    ("$.team", "blue"),
]


def test_metadata_finds_by_text_number_boolean_and_null(metadata_caller: Caller) -> None:
    for name, text in FOUND:
        found = ok(metadata_caller.get("/sessions", **{f"metadata.{name}": text}))
        assert [len(s["metadata"]) for s in found["sessions"]] == [len(METADATA)], (name, text)
        assert found["total"] == 1


def test_metadata_finds_nothing_else(metadata_caller: Caller) -> None:
    for name, text in NOT_FOUND:
        found = metadata_caller.get("/sessions", **{f"metadata.{name}": text})
        assert ids(found) == [], (name, text)


def test_several_metadata_must_all_fit(metadata_caller: Caller) -> None:
    both = {"metadata.team": "blue", "metadata.n": "7"}
    assert len(ids(metadata_caller.get("/sessions", **both))) == 1
    assert ids(metadata_caller.get("/sessions", **{**both, "metadata.n": "8"})) == []


@pytest.fixture
def metadata_caller(join: Issue) -> Caller:
    caller = join("Alice")
    caller.session(metadata=METADATA)
    caller.session(metadata={"other": "x"})
    return caller


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"limit": "5.0"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"limit": "9" * 500}, "limit"),
        ({"status": "busy"}, "status"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjU5IiwiMDAiXQ"}, "cursor"),
        ({"page": "2"}, "page"),
        ({"metadata": "x"}, "metadata"),
        ({"metadata.a": "\x00"}, "metadata.a"),
        ({f"metadata.{n}": "x" for n in range(21)}, "metadata"),
    ],
)
def test_a_query_that_is_wrong_is_named(alice: Caller, query: dict[str, str], field: str) -> None:
    assert wrong_fields(alice.get("/sessions", **query)) == {field}
