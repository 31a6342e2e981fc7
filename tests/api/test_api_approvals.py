"""Approvals over REST; the questions are rows written beside the server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sessions_app.api.serializers import Decide, checked
from sessions_app.models import Approval
from tests.api.caller import Caller, ServerDatabase, ok, refused, wrong_fields

Ask = Callable[..., str]


@pytest.fixture
def ask(alice: Caller, database: ServerDatabase, session: str) -> Ask:
    """A question of a run; its path."""
    run = alice.say(session)["runId"]

    def make(**fields: Any) -> str:
        due = timezone.now() + timedelta(minutes=5)
        row = Approval(
            session_id=session.rpartition("/")[2], run_id=run,
            **{"tool_name": "Bash", "input": {"command": "ls"}, "expires_at": due, **fields},
        )  # fmt: skip
        with database.open() as alias:
            row.save(using=alias, force_insert=True)
        return f"{session}/approvals/{row.pk}"

    return make


def test_what_waits_is_listed_and_counted(alice: Caller, session: str, ask: Ask) -> None:
    waiting = ask()
    ask(status="denied")
    (shown,) = ok(alice.get(f"{session}/approvals"))["approvals"]
    assert {
        "approvalId", "runId", "toolName", "input", "reason", "suggestions", "expiresAt", "status",
    } <= set(shown)  # fmt: skip
    assert waiting.endswith(shown["approvalId"])
    assert len(ok(alice.get(f"{session}/approvals", status="all"))["approvals"]) == 2
    assert ok(alice.get(session))["pendingApprovals"] == 1


def test_an_answer_counts_once(alice: Caller, ask: Ask) -> None:
    path = ask()
    answer = {"decision": "allow", "scope": "session", "updatedInput": {"command": "pwd"}}
    shown = ok(alice.post(path, answer))
    assert (shown["status"], shown["scope"]) == ("allowed", "session")
    assert shown["updatedInput"] == {"command": "pwd"}
    refused(alice.post(path, {"decision": "deny"}), 409, "APPROVAL_RESOLVED")


def test_a_repeated_answer_with_its_key_is_given_again(alice: Caller, ask: Ask) -> None:
    path, once = ask(), {"Idempotency-Key": "a"}
    first = alice.post(path, {"decision": "deny", "message": "No."}, headers=once)
    again = alice.post(path, {"decision": "deny", "message": "No."}, headers=once)
    assert ok(first) == ok(again)
    assert again.headers["idempotency-replayed"] == "true"


def test_too_late_is_gone(alice: Caller, session: str, ask: Ask) -> None:
    for headers in ({}, {"Idempotency-Key": "late"}):
        path = ask(expires_at=timezone.now())
        answer = alice.post(path, {"decision": "allow"}, headers=headers)
        refused(answer, 410, "APPROVAL_EXPIRED")
        refused(alice.post(path, {"decision": "allow"}), 410, "APPROVAL_EXPIRED")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "decision"),
        ({"decision": "maybe"}, "decision"),
        ({"decision": True}, "decision"),
        ({"decision": "allow", "scope": "always"}, "scope"),
        ({"decision": "allow", "updatedInput": []}, "updatedInput"),
        ({"decision": "allow", "updatedInput": {}}, "updatedInput"),
        ({"decision": "deny", "message": 5}, "message"),
        ({"decision": "deny", "reason": "x"}, "reason"),
    ],
)
def test_a_wrong_answer_is_named(alice: Caller, ask: Ask, body: dict[str, Any], named: str) -> None:
    assert wrong_fields(alice.post(ask(), body)) == {named}


def test_another_input_is_taken_as_it_is_and_not_key_by_key() -> None:
    given = {f"key{n}": n for n in range(10)}
    assert checked(Decide, {"decision": "allow", "updatedInput": given})["updatedInput"] is given


@pytest.mark.parametrize("given", [{}, {"updatedInput": {}}, {"updatedInput": {"answers": {}}}])
def test_a_question_is_allowed_with_its_answers_only(
    alice: Caller, ask: Ask, given: dict[str, Any]
) -> None:
    path = ask(tool_name="AskUserQuestion", input={"questions": [{"question": "Which?"}]})
    assert wrong_fields(alice.post(path, {"decision": "allow", **given})) == {"updatedInput"}
    answers = {"updatedInput": {"answers": {"Which?": "This."}}}
    assert ok(alice.post(path, {"decision": "allow", **answers}))["status"] == "allowed"
