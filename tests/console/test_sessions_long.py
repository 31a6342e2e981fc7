"""Long prompts and messages: a page reads no more of them than it has room for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from console.approvals.cards import card
from console.reading.names import PROMPT
from console.sessions import reading
from console.sessions.conversation import Turn
from sessions_app.models import Session
from tests.console.talking import asked, key_of, run_of, said, session_of

pytestmark = pytest.mark.django_db
SignedIn = Callable[..., Client]
PICTURE = {"type": "image", "source": {"type": "base64", "data": "A" * 5_000}}

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
    assert "xxx" not in page


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
