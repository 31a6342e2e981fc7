"""Approvals: what is shown of one, what may be answered, and who was first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from claudeapi.core.errors import ApprovalResolved
from claudeapi.core.process import PROCESS_ID
from console import roles
from console.approvals.listing import approvals
from console.models import AuditEntry
from console.reading.lists import Filters
from sessions_app import agents
from sessions_app.actions.approvals import decide
from sessions_app.cleanup import remove
from sessions_app.models import Approval, Run, Session
from tests.console.talking import asked, key_of, run_of, session_of

SignedIn = Callable[..., Client]
DECIDES = {"approver", "operator", "administrator"}
COLOURS = {
    "questions": [
        {
            "question": "Which?",
            "header": "Colour",
            "options": [{"label": "Red"}, {"label": "Blue"}],
        },
        {"question": "How?", "multiSelect": True, "options": [{"label": "A"}, {"label": "B"}]},
    ]
}


@pytest.fixture
def run(db: None) -> Run:
    session = session_of(key_of("Alice"), engine="claude-code")
    return run_of(session, status="waiting", owner=PROCESS_ID)


def answer(client: Client, row: Approval, decision: str, **fields: object) -> str:
    url = f"/admin/approvals/{row.pk}/answer/"
    given = client.post(
        url, {"decision": decision, **fields}, headers={"X-Requested-With": "fetch"}
    )
    row.refresh_from_db()
    return given.content.decode()


def test_roles_decide_who_answers(run: Run, signed_in: SignedIn, role: str) -> None:
    row = asked(run, "Bash", {"command": "ls"})
    client = signed_in(role)

    page = client.get("/admin/approvals/").content.decode()
    answer(client, row, "once")

    assert ("Allow once" in page) is (role in DECIDES)
    assert row.status == ("allowed" if role in DECIDES else "pending")
    assert set(roles.GROUPS) >= DECIDES


def test_who_decided_what_and_when_is_kept(run: Run, signed_in: SignedIn) -> None:
    row = asked(run, "Bash", {"command": "git push"})

    answer(signed_in("approver"), row, "deny", message="Not on a Friday")

    assert (row.status, row.decided_by, row.message) == (
        "denied",
        "operator:approver",
        "Not on a Friday",
    )
    assert row.decided_at is not None
    entry = AuditEntry.objects.get(verb="approval.denied")
    assert (entry.actor, entry.details["tool"], entry.details["changed"]) == (
        "approver",
        "Bash",
        False,
    )
    assert "git push" in entry.details["input"]
    page = signed_in("viewer").get("/admin/approvals/answered/").content.decode()
    assert "operator:approver" in page


def test_a_decision_outlives_its_session_also_one_over_the_api(run: Run) -> None:
    row = asked(run, "Bash", {"command": "git\x00push " + "x" * 5_000})

    decide(row, allow=True, decided_by="capi_alice", updated_input={"command": "git pull"})
    assert remove(run.session)

    entry = AuditEntry.objects.get(verb="approval.allowed")
    assert (entry.actor, entry.target_id) == ("key:capi_alice", str(row.pk))
    assert "git␀push" in entry.details["input"] or "git\\u0000push" in entry.details["input"]
    assert "more characters)" in entry.details["input"]
    assert "git pull" in entry.details["changed_input"]


def test_an_answer_that_comes_second_is_not_written_down(run: Run) -> None:
    row = asked(run, "Bash", {"command": "ls"})
    decide(row, allow=False, decided_by="capi_alice")

    with pytest.raises(ApprovalResolved):
        decide(row, allow=True, decided_by="capi_bob")

    assert [entry.verb for entry in AuditEntry.objects.all()] == ["approval.denied"]


def test_for_the_session(run: Run, signed_in: SignedIn) -> None:
    rule = {"type": "addRules", "behavior": "allow", "rules": [{"toolName": "Bash"}]}
    row = asked(run, "Bash", {"command": "ls"}, suggestions=[rule])

    page = signed_in("viewer").get(f"/admin/approvals/{row.pk}/").content.decode()
    answer(signed_in("approver"), row, "session")

    assert "every call of Bash" not in page, "a viewer has no button"
    assert (row.status, row.scope) == ("allowed", "session")


def test_what_can_be_allowed_only_once_is_not_allowed_for_the_session(
    run: Run, signed_in: SignedIn
) -> None:
    row = asked(run, "Bash", {"command": "ls"})
    client = signed_in("approver")

    page = client.get(f"/admin/approvals/{row.pk}/").content.decode()
    told = answer(client, row, "session")

    assert 'value="session"' not in page
    assert "This call can be allowed only once." in page
    assert "This call can be allowed only once." in told
    assert row.status == "pending"


def test_with_a_changed_input(run: Run, signed_in: SignedIn) -> None:
    row = asked(run, "Bash", {"command": "ls"})
    answer(signed_in("approver"), row, "changed", input='{"command": "ls -l"}')
    assert (row.status, row.updated_input) == ("allowed", {"command": "ls -l"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"x"',
        "[" * 100_000,
        "{'a': 1}",
        '{"a": NaN}',
        '{"a": "\\ud800"}',
        '{"a": "\\u0000"}',
        '{"a": 123456789012345678901234}',
        '{"a": 18446744073709551616}',
    ],
)
def test_a_changed_input_must_be_an_object_that_can_be_kept(
    run: Run, signed_in: SignedIn, text: str
) -> None:
    row = asked(run, "Bash", {"command": "ls"})

    page = answer(signed_in("approver"), row, "changed", input=text)

    assert "The changed input" in page
    assert row.status == "pending"


def test_a_question_gets_the_answers_that_were_chosen_or_written(
    run: Run, signed_in: SignedIn
) -> None:
    row = asked(run, "AskUserQuestion", COLOURS)
    given = {"answer-0": "Blue", "answer-1": ["A", "B", "not offered"], "answer-1-own": "C"}

    answer(signed_in("approver"), row, "once", **given)

    assert row.updated_input == {"answers": {"Which?": "Blue", "How?": ["A", "B", "C"]}}


def test_a_question_without_an_answer_stays_open(run: Run, signed_in: SignedIn) -> None:
    row = asked(run, "AskUserQuestion", COLOURS)

    page = answer(signed_in("approver"), row, "once", **{"answer-0": "Red"})

    assert "“How?” has no answer yet." in page
    assert row.status == "pending"


def test_a_question_that_no_form_shows_cannot_be_allowed(run: Run, signed_in: SignedIn) -> None:
    row = asked(run, "AskUserQuestion", {"questions": "x"})

    page = answer(signed_in("approver"), row, "once")

    assert "must have the answers" in page
    assert row.status == "pending"


def test_a_plan_is_allowed_without_an_input(run: Run, signed_in: SignedIn) -> None:
    row = asked(run, "ExitPlanMode", {"plan": "1. x"})
    answer(signed_in("approver"), row, "once")
    assert (row.status, row.updated_input) == ("allowed", None)


def test_the_second_of_two_is_told_who_was_first(run: Run, signed_in: SignedIn) -> None:
    row = asked(run, "Bash", {"command": "ls"})
    answer(signed_in("approver", username="anna"), row, "once")

    page = answer(signed_in("operator", username="otto"), row, "deny")

    assert "anna was first: allowed" in page
    assert (row.status, row.decided_by) == ("allowed", "operator:anna")
    assert AuditEntry.objects.filter(target_id=str(row.pk)).count() == 1


def test_an_answer_that_comes_too_late_is_told_so(run: Run, signed_in: SignedIn) -> None:
    row = asked(run, "Bash", {"command": "ls"}, expires_at=timezone.now() - timedelta(seconds=1))

    page = answer(signed_in("approver"), row, "once")

    assert "Time ran out" in page
    assert row.status == "expired"


def test_without_a_script_an_answer_leads_back(run: Run, signed_in: SignedIn) -> None:
    row = asked(run, "Bash", {"command": "ls"})
    url, client = f"/admin/approvals/{row.pk}/answer/", signed_in("approver")

    there = client.post(url, {"decision": "once", "next": "https://evil.example/admin/"})

    assert there["Location"] == "/admin/approvals/"
    assert client.get(url).status_code == 405


@pytest.mark.parametrize("decision", ["once", "session"])
def test_an_edited_input_is_never_left_out(run: Run, signed_in: SignedIn, decision: str) -> None:
    rule = {"type": "addRules", "behavior": "allow", "rules": [{"toolName": "Bash"}]}
    row = asked(run, "Bash", {"command": "rm -rf /srv"}, suggestions=[rule])
    client = signed_in("approver")

    for typed in ('{"command": "ls"}', "{"):
        told = answer(client, row, decision, input=typed)
        assert "The input was edited." in told
        assert row.status == "pending"
    answer(client, row, decision, input='{\r\n  "command": "rm -rf /srv"\r\n}')

    assert (row.status, row.updated_input) == ("allowed", None)


def test_the_record_says_what_was_allowed_and_what_was_changed(
    run: Run, signed_in: SignedIn
) -> None:
    row = asked(run, "Bash", {"command": "rm -rf /srv"})

    line = answer(signed_in("approver"), row, "changed", input='{"command": "ls /srv"}')
    page = signed_in("viewer").get("/admin/approvals/answered/").content.decode()

    for told in (line, page):
        assert "rm -rf /srv" in told
        assert "input changed" in told
    assert "→ ls /srv" in page


def test_the_record_names_a_file_as_the_workspace_does(run: Run, signed_in: SignedIn) -> None:
    Session.objects.update(engine="claude-code")
    run.session.refresh_from_db()
    root = agents.private_folder(run.session)
    asked(run, "Edit", {"file_path": f"{root}/src/price.py"})

    page = signed_in("viewer").get("/admin/approvals/answered/").content.decode()

    assert ">src/price.py<" in page
    assert str(root) not in page


@pytest.mark.parametrize("text", ["Bash", "approver", "Alice", "{prefix}", "{session}"])
def test_an_approval_is_found_by_whatever_one_has_of_it(
    run: Run, signed_in: SignedIn, text: str
) -> None:
    row = asked(run, "Bash", {"command": "ls"})
    answer(signed_in("approver"), row, "once")
    asked(run_of(session_of(key_of("Bob"))), "Edit", {})

    wanted = text.format(prefix=run.session.key.prefix, session=run.session_id)
    found = approvals(Filters(q=wanted))

    assert [each.pk for each in found.rows] == [row.pk]
