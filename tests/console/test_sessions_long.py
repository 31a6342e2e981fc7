"""Long prompts and messages: a page reads no more of them than it has room for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from console.approvals.cards import card
from console.reading.names import PROMPT
from console.sessions import reading
from console.sessions.conversation import ToolCall, Turn
from sessions_app.models import Session
from tests.console.talking import asked, key_of, run_of, said, session_of

pytestmark = pytest.mark.django_db
SignedIn = Callable[..., Client]
PICTURE = {"type": "image", "source": {"type": "base64", "data": "A" * 5_000}}
WORDS = {"type": "text", "text": "What is on it?"}

# A prompt that is followed by another column is selected whole; its beginning may be.
UNSHOWN = (
    'sessions_app_session"."system_prompt"',
    'sessions_app_session"."append_system_prompt"',
    'sessions_app_session"."metadata"',
    'sessions_app_run"."response"',
    'sessions_app_run"."prompt", "',
)


@pytest.fixture
def session() -> Session:
    return session_of(key_of("Alice"), system_prompt="Be brief.", engine="claude-code")


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ROOM", 2_500)
    monkeypatch.setattr(reading, "PROMPT", 1_000)


@pytest.mark.parametrize(
    "page", ["sessions/", "runs/", "approvals/", "approvals/answered/", "approvals/waiting/"]
)
def test_a_list_reads_nothing_long_that_it_does_not_show(
    signed_in: SignedIn, session: Session, page: str
) -> None:
    asked(run_of(session, status="waiting", finished_at=None), "Bash", {"command": "ls"})
    client = signed_in("operator")

    with CaptureQueriesContext(connection) as captured:
        assert client.get(f"/admin/{page}").status_code == 200

    for query in captured.captured_queries:
        assert not [column for column in UNSHOWN if column in query["sql"]], query["sql"]


def test_the_card_of_a_long_prompt_has_its_first_words_also_behind_a_picture(
    session: Session,
) -> None:
    text = {"type": "text", "text": 'Say "hello"\n' + "x" * 9_000}
    row = asked(run_of(session, prompt=[PICTURE, text]), "Bash", {"command": "ls"})

    shown = card(row).prompt

    assert shown.startswith('Say "hello" xxx')
    assert len(shown) == PROMPT


def _shown(turns: list[Turn]) -> list[int]:
    return [entry.sequence for turn in turns for entry in turn.entries]


def test_a_page_holds_as_many_messages_as_it_has_room_for(session: Session, room: None) -> None:
    run = run_of(session)
    for number in range(1, 7):
        said(run, number, "assistant", [{"type": "text", "text": "x" * 1_000}])

    newest = reading.conversation(session)
    earlier = reading.conversation(session, newest.earlier)

    assert _shown([*newest.turns]) == [5, 6]
    assert _shown([*earlier.turns]) == [3, 4]
    assert _shown([reading.one_turn(session, run.pk)]) == [5, 6]
    assert reading.conversation(session, 3).earlier == 0


def test_of_a_message_that_no_page_has_room_for_there_is_a_note(
    signed_in: SignedIn, session: Session, room: None
) -> None:
    run = run_of(session)
    said(run, 1, "assistant", [{"type": "text", "text": "Before"}])
    said(run, 2, "user", [{"type": "text", "text": "x" * 3_000}], "user")
    said(run, 3, "assistant", [{"type": "text", "text": "Behind"}])

    page = signed_in("viewer").get(f"/admin/sessions/{session.pk}/").content.decode()

    assert page.index("Before") < page.index("Too long for a page: 3,0") < page.index("Behind")
    assert "x" * (PROMPT - 1) + "…" in page
    assert "x" * PROMPT not in page


def test_a_prompt_is_read_where_no_message_has_it_and_it_is_not_too_long(
    session: Session, room: None
) -> None:
    spoken = run_of(session, prompt=[{"type": "text", "text": "spoken"}])
    said(spoken, 1, "user", [{"type": "text", "text": "spoken"}], "user")
    queued = run_of(session, prompt=[{"type": "text", "text": "queued"}], status="queued")
    long = run_of(session, prompt=[PICTURE], status="failed")

    with CaptureQueriesContext(connection) as captured:
        found = {turn.run.pk: turn for turn in reading.conversation(session).turns if turn.run}

    assert not any("AAAA" in query["sql"] for query in captured.captured_queries)
    assert found[spoken.pk].prompt == ()
    assert found[queued.pk].prompt[0].text.text == "queued"
    assert found[long.pk].prompt[0].text.startswith("Too long for a page: 5,0")
    assert reading.one_turn(session, queued.pk).prompt[0].text.text == "queued"


def test_of_a_prompt_that_no_page_has_room_for_the_first_words_are_shown(
    session: Session, room: None
) -> None:
    spoken = run_of(session)
    said(spoken, 1, "user", [PICTURE, WORDS], "user")
    queued = run_of(session, prompt=[PICTURE, WORDS], status="queued", finished_at=None)

    with CaptureQueriesContext(connection) as captured:
        first, second = reading.conversation(session).turns
        alone = reading.one_turn(session, queued.pk)

    assert not any("AAAA" in query["sql"] for query in captured.captured_queries)
    for parts in (first.entries[0].parts, second.prompt, alone.prompt):
        words, note = parts
        assert words.text.text == "What is on it?"
        assert note.text.startswith("Too long for a page: 5,")


def _call(name: str) -> dict[str, object]:
    return {"type": "tool_use", "id": name, "name": "Read", "input": {}}


def _result(name: str, characters: int) -> dict[str, object]:
    return {"type": "tool_result", "tool_use_id": name, "content": "x" * characters}


def _calls(turns: Sequence[Turn]) -> dict[str, ToolCall]:
    entries = [entry for turn in turns for entry in turn.entries]
    return {part.tool.id: part.tool for entry in entries for part in entry.parts if part.tool}


def _outcomes(turns: Sequence[Turn]) -> dict[str, str]:
    return {name: call.outcome for name, call in _calls(turns).items()}


@pytest.mark.parametrize(
    ("state", "missing"),
    [({}, "no result"), ({"status": "running", "finished_at": None}, "open")],
)
def test_a_call_is_not_without_a_result_that_no_page_has_room_for(
    signed_in: SignedIn, session: Session, room: None, state: dict[str, object], missing: str
) -> None:
    run = run_of(session, **state)
    said(run, 1, "user", [PICTURE], "user")
    said(run, 2, "assistant", [_call("short"), _call("long")])
    said(run, 3, "user", [_result("short", 10)])
    said(run, 4, "user", [_result("long", 3_000)])
    said(run, 5, "assistant", [_call("last")])

    for turns in (reading.conversation(session).turns, [reading.one_turn(session, run.pk)]):
        assert _outcomes(turns) == {"short": "done", "long": "not shown", "last": missing}

    page = signed_in("viewer").get(f"/admin/sessions/{session.pk}/").content.decode()
    assert page.count("The result may be in a message that is too long for this page") == 1


def test_a_prompt_without_room_hides_no_result(session: Session, room: None) -> None:
    run = run_of(session)
    said(run, 1, "assistant", [_call("lost")])
    said(run, 2, "user", [PICTURE], "user")
    said(run_of(session), 3, "user", [_result("another run's", 3_000)])

    assert _outcomes(reading.conversation(session).turns) == {"lost": "no result"}


def test_a_result_that_was_taken_over_may_be_too_long_as_well(session: Session, room: None) -> None:
    run = run_of(session)
    said(run, 1, "assistant", [_call("imported")])
    said(run, 2, "user", [_result("imported", 3_000)], "user")
    session.messages.update(run=None)

    assert _outcomes(reading.conversation(session).turns) == {"imported": "not shown"}


@pytest.mark.parametrize("sizes", [(1_500, 1_500), (3_000, 10)])
def test_a_result_behind_an_earlier_page_may_have_no_room_either(
    session: Session, room: None, sizes: tuple[int, int]
) -> None:
    run = run_of(session)
    said(run, 1, "assistant", [_call("a"), _call("b")])
    said(run, 2, "user", [_result("a", sizes[0])])
    said(run, 3, "user", [_result("b", sizes[1])])

    outcomes = _outcomes(reading.conversation(session, 2).turns)

    assert sorted(outcomes.values()) == ["done", "not shown"]
