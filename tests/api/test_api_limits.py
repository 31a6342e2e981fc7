"""How much a key may have at once, how often it may ask, and for how much."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from keys_app.models import UsageSum
from tests.api.caller import Caller, ServerDatabase, all_at_once, ok, refused
from tests.api.conftest import ROOMY, Issue, Opened
from tests.conftest import StartServer

SLOW = "[[sim slow n=400 delay=25ms]]"


def statuses(answers: list[int]) -> dict[int, int]:
    return {status: answers.count(status) for status in set(answers)}


def again(caller: Caller) -> Caller:
    """The same key over a connection of its own."""
    return Caller(caller.url, caller.text, caller.key)


def test_sessions_at_once_are_exact_however_many_ask(join: Issue) -> None:
    bob = join("Bob", max_sessions=5)
    answers = all_at_once(30, lambda _: again(bob).post("/sessions").status_code)
    assert statuses(answers) == {201: 5, 429: 25}
    error = refused(bob.post("/sessions"), 429, "MAX_SESSIONS_REACHED")
    assert error["details"] == {"limit": 5, "of": "key"}
    assert bob.post("/sessions").headers["retry-after"].isdigit()
    one = ok(bob.get("/sessions"))["sessions"][0]["sessionId"]
    refused(bob.post(f"/sessions/{one}/fork"), 429, "MAX_SESSIONS_REACHED")
    bob("DELETE", f"/sessions/{one}")
    assert bob.post("/sessions").status_code == 201


def test_runs_at_once_are_exact_however_many_ask(join: Issue) -> None:
    bob = join("Bob", max_runs=4)
    sessions = [bob.session() for _ in range(30)]
    body = {"prompt": SLOW, "background": True}

    def send(number: int) -> int:
        return again(bob).post(f"{sessions[number]}/messages", body).status_code

    assert statuses(all_at_once(30, send)) == {202: 4, 429: 26}
    answer = bob.post(f"{sessions[0]}/messages", {**body, "onBusy": "enqueue"})
    refused(answer, 429, "CONCURRENCY_LIMIT_EXCEEDED")
    assert answer.headers["retry-after"].isdigit()
    for session in sessions:
        bob.post(f"{session}/cancel")


def test_who_may_run_one_thing_may_interrupt_it(issue: Issue) -> None:
    bob = issue("Bob", max_runs=1)
    session = bob.session()
    first = bob.background(session, SLOW)["runId"]
    second = bob.say(session, "quick", onBusy="interrupt")["runId"]
    assert ok(bob.get(f"{session}/runs/{first}"))["status"] == "cancelled"
    assert ok(bob.get(f"{session}/runs/{second}"))["status"] == "completed"


OVERSPENT = {"of", "limitUsd", "spentUsd", "remainingUsd"}


@pytest.mark.parametrize("period", ["day", "month"])
def test_a_spent_budget_refuses_messages(
    issue: Issue, database: ServerDatabase, period: str
) -> None:
    bob = issue("Bob", **{f"budget_{period}_usd": Decimal("0.50")})
    session = bob.session()
    bob.say(session)
    with database.open() as alias:
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        UsageSum.objects.using(alias).create(
            key=bob.key, hour=now, engine="messages", model="x", cost_usd=Decimal("0.5")
        )
    for extra in ({}, {"stream": True}, {"background": True}):
        answer = bob.post(f"{session}/messages", {"prompt": "x", **extra})
        details = refused(answer, 402, "BUDGET_EXCEEDED")["details"]
        assert (details["of"], details["period"], details["limitUsd"]) == ("key", period, "0.50")
        assert set(details) == {*OVERSPENT, "period", "resetsAt"}
    assert ok(bob.get("/me"))["limits"]["budget"][period]["remainingUsd"] == "0.00"


def test_a_sessions_own_budget_ends_its_messages(alice: Caller) -> None:
    session = alice.session(maxBudgetUsd="0.00000001")
    alice.say(session)
    answer = alice.post(f"{session}/messages", {"prompt": "x"})
    details = refused(answer, 402, "BUDGET_EXCEEDED")["details"]
    assert (details["of"], set(details)) == ("session", OVERSPENT)
    alice.say(alice.session(maxBudgetUsd="100"))


@pytest.mark.parametrize("of", ["session", "key"])
def test_what_waits_its_turn_is_refused_once_the_budget_is_spent(issue: Issue, of: str) -> None:
    bob = issue("Bob", **({"budget_day_usd": Decimal("0.0001")} if of == "key" else {}))
    session = bob.session(**({"maxBudgetUsd": "0.00000001"} if of == "session" else {}))
    first = bob.background(session, "[[sim slow n=80 delay=25ms]]")["runId"]
    answer = bob.post(f"{session}/messages", {"prompt": "x", "onBusy": "enqueue"})
    details = refused(answer, 402, "BUDGET_EXCEEDED")["details"]
    assert (details["of"], details["remainingUsd"]) == (of, "0.00")
    waited, paid = ok(bob.get(f"{session}/runs"))["runs"]
    assert (waited["runId"], paid["runId"]) == (details["runId"], first)
    assert (waited["status"], waited["costUsd"]) == ("failed", "0.00")
    assert details["spentUsd"] == paid["costUsd"] == ok(bob.get(session))["costUsd"]


def test_one_rate_limit_counts_rest_and_streams(issue: Issue) -> None:
    bob = issue("Bob", rate_limit=4)
    session = bob.session()
    with bob("POST", f"{session}/stream", {"prompt": "x"}, stream=True) as answer:
        assert answer.headers["x-ratelimit-remaining"] == "2"
    bob.get("/me")
    assert bob.get(session).headers["x-ratelimit-remaining"] == "0"
    refusals = [
        bob.get("/me"),
        bob.post(f"{session}/messages", {"prompt": "x"}),
        bob.get(f"{session}/stream"),
    ]
    for answer in refusals:
        refused(answer, 429, "RATE_LIMIT_EXCEEDED")
        assert answer.headers["x-ratelimit-limit"] == "4"
        assert answer.headers["x-ratelimit-remaining"] == "0"
        reset = int(answer.headers["x-ratelimit-reset"])
        assert 0 < reset - time.time() <= 61
        assert 0 < int(answer.headers["retry-after"]) <= 61


def test_the_server_has_a_number_of_sessions_for_all(
    start_server: StartServer, open_database: Opened
) -> None:
    server = start_server(**{**ROOMY, "MAX_SESSIONS": "6", "SESSION_TIMEOUT": "3000"})
    callers = []
    for name in ("Alice", "Bob", "Mallory"):
        key, text = open_database(server).issue(name)
        callers.append(Caller(server.url, text, key))
    answers = all_at_once(30, lambda n: again(callers[n % 3]).post("/sessions").status_code)
    assert statuses(answers) == {201: 6, 429: 24}
    error = refused(callers[0].post("/sessions"), 429, "MAX_SESSIONS_REACHED")
    assert error["details"] == {"limit": 6, "of": "server"}
