"""A session as a person reads it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from console.sessions.conversation import turns
from sessions_app.models import Message
from tests.console.talking import asked, key_of, run_of, said, session_of

pytestmark = pytest.mark.django_db


def test_a_tool_call_is_shown_with_its_result_and_its_approval() -> None:
    run = run_of(session_of(key_of("Alice")))
    call = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
    said(run, 1, "user", [{"type": "text", "text": "Look."}], "user")
    said(run, 2, "assistant", [{"type": "text", "text": "I *look*."}, call])
    said(run, 3, "user", [{"type": "tool_result", "tool_use_id": "t1", "content": "a.txt"}])
    row = asked(run, "Bash", {"command": "ls"}, tool_use_id="t1", status="allowed")

    [turn] = turns(list(Message.objects.order_by("sequence")), [run], [row])

    assert [entry.who for entry in turn.entries] == ["user", "assistant"]
    text, tool = turn.entries[1].parts
    assert text.text == "<p>I <em>look</em>.</p>\n"
    assert tool.tool is not None
    assert (tool.tool.headline, tool.tool.outcome) == ("ls", "done")
    assert tool.tool.output.text == "a.txt"
    assert tool.tool.approval == row


def test_a_call_whose_input_was_changed_is_shown_as_it_ran(
    signed_in: Callable[..., Client],
) -> None:
    run = run_of(session_of(key_of("Alice")))
    call = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "rm -rf /srv"}}
    said(run, 1, "assistant", [call])
    asked(
        run, "Bash", call["input"], tool_use_id="t1", status="allowed",
        updated_input={"command": "ls /srv"}, decided_by="operator:anna",
    )  # fmt: skip

    page = signed_in("viewer").get(f"/admin/sessions/{run.session_id}/").content.decode()

    summary, _, below = page.partition("cv-tool")[2].partition("</summary>")
    assert "ls /srv" in summary
    assert "input changed" in summary
    assert "rm -rf" not in summary
    assert below.index("ls /srv") < below.index("What was asked for") < below.index("rm -rf /srv")


def test_a_failed_and_an_unfinished_call_are_told_apart() -> None:
    run = run_of(session_of(key_of("Alice")), status="running", finished_at=None)
    calls = [{"type": "tool_use", "id": i, "name": "Bash", "input": {}} for i in ("a", "b")]
    failed = {"type": "tool_result", "tool_use_id": "a", "is_error": True, "content": []}
    said(run, 1, "assistant", calls)
    said(run, 2, "user", [failed])

    [turn] = turns(list(Message.objects.order_by("sequence")), [run])

    assert [part.tool.outcome for part in turn.entries[0].parts if part.tool] == ["error", "open"]


def test_a_run_that_said_nothing_shows_its_prompt_in_its_place() -> None:
    session = session_of(key_of("Alice"))
    lost = run_of(session, status="failed", prompt=[{"type": "text", "text": "Hello?"}])
    later = run_of(session)
    message = said(later, 5, "user", [{"type": "text", "text": "Again"}], "user")

    first, second = turns([message], [later, lost])

    assert first.prompt[0].text.text == "Hello?"
    assert second.run == later


@pytest.mark.parametrize("content", [None, [], "x", {"message": None}, {"message": {"content": 5}}])
def test_a_message_of_an_unknown_shape_breaks_nothing(content: object) -> None:
    run = run_of(session_of(key_of("Alice")))
    for number, kind in enumerate(("user", "assistant", "system", "result", "new"), start=1):
        message = said(run, number, kind, "")
        message.content = content

    turns(list(Message.objects.all()), [run])
