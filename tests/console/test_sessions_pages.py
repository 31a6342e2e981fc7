"""The pages of sessions and runs: who sees what, what it costs, what the buttons do."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models import Model
from django.http import StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from claudeapi.core.process import PROCESS_ID
from console import roles
from console.approvals.listing import approvals
from console.models import AuditEntry
from console.reading.lists import Filters
from console.reading.text import line
from console.sessions import export, listing
from sessions_app import agents
from sessions_app.models import Approval, Message, Run, Session
from tests.console.talking import asked, key_of, run_of, said, session_of

pytestmark = pytest.mark.django_db
SignedIn = Callable[..., Client]

SEES = set(roles.GROUPS)
OPERATES = {"operator", "administrator"}
LISTS = {"sessions": listing.sessions, "runs": listing.runs, "approvals": approvals}


@pytest.fixture
def session() -> Session:
    made = session_of(key_of("Alice"), title="Repair the shop")
    run = run_of(made, request_id="req-1", input_tokens=12)
    said(run, 1, "user", [{"type": "text", "text": "Hello"}], "user")
    said(run, 2, "assistant", [{"type": "text", "text": "Hi, Alice"}])
    return made


@pytest.mark.parametrize(
    ("page", "who"),
    [
        ("sessions/", SEES),
        ("runs/", SEES),
        ("sessions/{}/", SEES),
        ("sessions/{}/events/", SEES),
        ("approvals/answered/", SEES),
        ("first-steps/", SEES),
        ("sessions/{}/export.json", OPERATES),
        ("sessions/{}/export.md", OPERATES),
        ("sessions/{}/do/end/", OPERATES),
        ("sessions/{}/do/fork/", OPERATES),
        ("playground/", OPERATES),
        ("playground/models/", OPERATES),
    ],
)
def test_each_page_is_for_those_whose_role_includes_it(
    signed_in: SignedIn, session: Session, role: str, page: str, who: set[str]
) -> None:
    answer = signed_in(role).get(f"/admin/{page.format(session.pk)}")

    assert answer.status_code == (200 if role in who else 403)
    assert "form-action 'self'" in answer["Content-Security-Policy"]


def test_nobody_sees_anything_without_signing_in(client: Client, session: Session) -> None:
    for page in ("sessions/", f"sessions/{session.pk}/", f"sessions/{session.pk}/export.json"):
        assert client.get(f"/admin/{page}").status_code == 302


def test_a_sessions_page_shows_its_conversation(signed_in: SignedIn, session: Session) -> None:
    page = signed_in("viewer").get(f"/admin/sessions/{session.pk}/").content.decode()

    for wanted in ("Repair the shop", "Hi, Alice", "req-1", "Alice&#x27;s key"):
        assert wanted in page
    assert "End the session" not in page


def test_pages_take_few_queries_however_much_there_is(signed_in: SignedIn) -> None:
    key = key_of("Alice")
    first = session_of(key)
    for number in range(30):
        run = run_of(session_of(key, forked_from=first) if number % 2 else first)
        said(run, number + 1, "assistant", [{"type": "text", "text": "x"}])
        asked(run, "Bash", {"command": "ls"})
    client = signed_in("operator")
    for page in (
        "sessions/",
        "runs/",
        "approvals/",
        "approvals/answered/",
        f"sessions/{first.pk}/",
    ):
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"/admin/{page}").status_code == 200
        assert len(captured) < 25, page
        assert not any("COUNT(" in query["sql"] for query in captured.captured_queries), page


@pytest.mark.parametrize(
    "text",
    [
        "{session.pk}",
        "{session_begins}",
        "{session.key.prefix}",
        "{run.pk}",
        "{run_begins}",
        "req-1",
        "{other_request}",
        "shop",
        "alice",
        "{key}",
    ],
)
def test_a_session_is_found_by_whatever_one_has_of_it(session: Session, text: str) -> None:
    session_of(key_of("Bob"), title="Other")
    run = session.runs.get()

    known = {
        "session_begins": str(session.pk)[:8],
        "run_begins": str(run.pk)[:13].upper(),
        "other_request": str(uuid4()),
    }
    run_of(session, request_id=known["other_request"])
    wanted = text.format(session=session, run=run, key=session.key_id, **known)
    found = listing.sessions(Filters(q=wanted))

    assert [row.pk for row in found.rows] == [session.pk]


def test_runs_are_found_by_request_id_status_and_key(session: Session) -> None:
    failed = run_of(session_of(key_of("Bob")), status="failed")
    run = session.runs.get()

    failed.error = {"code": "UPSTREAM_OVERLOADED", "message": "Too much"}
    failed.save()

    assert [row.pk for row in listing.runs(Filters(q="req-1")).rows] == [run.pk]
    assert [row.pk for row in listing.runs(Filters(q=str(run.pk)[:8])).rows] == [run.pk]
    assert [row.pk for row in listing.runs(Filters(q=str(session.pk)[:8])).rows] == [run.pk]
    assert [row.pk for row in listing.runs(Filters(q="upstream_overloaded")).rows] == [failed.pk]
    assert not listing.runs(Filters(q="UPSTREAM_TIMEOUT")).rows
    assert [row.pk for row in listing.runs(Filters(status="failed")).rows] == [failed.pk]
    assert [row.pk for row in listing.runs(Filters(key=str(session.key_id))).rows] == [run.pk]
    assert not listing.runs(Filters(status="unfinished")).rows


def test_words_of_a_title_find_it_though_a_keys_name_has_them_too(session: Session) -> None:
    own = session_of(key_of("Shop"), title="Other")

    found = listing.sessions(Filters(q="shop"))

    assert {row.pk for row in found.rows} == {session.pk, own.pk}


@pytest.mark.parametrize("text", ["Tidy the shop", "Tidy \\u00e9 " * 60, "\n\n  Tidy\tup"])
def test_a_session_without_a_title_is_called_by_its_first_words(
    signed_in: SignedIn, text: str
) -> None:
    session = session_of(key_of("Alice"))
    for prompt in (text, "Later words"):
        run_of(session, prompt=[{"type": "image"}, {"type": "text", "text": prompt}])
    client = signed_in("viewer")

    for page in ("sessions/", "runs/", f"sessions/{session.pk}/"):
        assert line(text, 80) in client.get(f"/admin/{page}").content.decode()


def test_the_list_says_what_is_at_work(signed_in: SignedIn) -> None:
    session = session_of(key_of("Alice"))
    for status in ("waiting", "queued"):
        run_of(session, status=status, finished_at=None, owner=PROCESS_ID)
    session_of(key_of("Bob"), last_activity=timezone.now() - timedelta(hours=2))

    page = signed_in("viewer").get("/admin/sessions/?since=hour").content.decode()

    assert '<span class="badge warn">waiting</span>' in page
    assert "Bob" not in page


def test_a_list_goes_on_where_the_page_before_ended(signed_in: SignedIn) -> None:
    key = key_of("Alice")
    made = [session_of(key, last_activity=timezone.now() - timedelta(hours=i)) for i in range(120)]
    seen: list[object] = []
    wanted = Filters()
    while True:
        found = listing.sessions(wanted)
        seen += [row.pk for row in found.rows]
        if not found.next:
            break
        wanted = Filters(cursor=found.next)

    assert seen == [row.pk for row in made]


def test_a_broken_cursor_or_filter_is_no_error(signed_in: SignedIn, session: Session) -> None:
    client = signed_in("viewer")
    for query in ("cursor=x", "key=x", "session=x", "status=x", "q=%00", "q=capi_", "model=%00"):
        for page in ("sessions/", "runs/", "approvals/answered/"):
            assert client.get(f"/admin/{page}?{query}").status_code == 200, query
    for query in ("before=x", "before=99999999999999999999", "run=x"):
        assert client.get(f"/admin/sessions/{session.pk}/?{query}").status_code == 200


def test_an_idle_session_is_shown_as_expired_before_the_sweep(signed_in: SignedIn) -> None:
    past = timezone.now() - timedelta(minutes=1)
    session_of(key_of("Alice"), expires_at=past)
    busy = session_of(key_of("Bob"), expires_at=past)
    run_of(busy, status="running", finished_at=None)

    shown = {row.pk: row.shown_status for row in listing.sessions(Filters()).rows}  # type: ignore[attr-defined]

    assert shown[busy.pk] == "active"
    assert sorted(shown.values()) == ["active", "expired"]


def test_ending_asks_first_then_ends_and_is_written_down(
    signed_in: SignedIn, session: Session
) -> None:
    client, url = signed_in("operator"), f"/admin/sessions/{session.pk}/do/end/"

    assert "cannot be undone" in client.get(url).content.decode()
    session.refresh_from_db()
    assert session.status == "active"
    client.post(url)
    session.refresh_from_db()
    assert session.status == "ended"
    entry = AuditEntry.objects.get(verb="session.ended")
    assert (entry.actor, entry.target_id) == ("operator", str(session.pk))


def test_extending_keeps_it_open_and_never_shortens(signed_in: SignedIn, session: Session) -> None:
    client, url = signed_in("operator"), f"/admin/sessions/{session.pk}/do/extend/"

    told = [
        client.post(url, {"hours": hours}, follow=True).content.decode() for hours in ("24", "1")
    ]

    session.refresh_from_db()
    assert session.expires_at > timezone.now() + timedelta(hours=23)
    assert "stays open for a day" in told[0]
    assert "already. Nothing was changed." in told[1]
    assert AuditEntry.objects.filter(verb="session.extended").count() == 1


def test_a_session_is_ended_once_however_often_it_is_asked_for(
    signed_in: SignedIn, session: Session
) -> None:
    client, url = signed_in("operator"), f"/admin/sessions/{session.pk}/do/end/"

    told = [client.post(url, follow=True).content.decode() for _ in range(2)]

    assert "The session has ended. Its history stays." in told[0]
    assert "The session has ended. Its history stays." not in told[1]
    assert AuditEntry.objects.filter(verb="session.ended").count() == 1


def test_an_ended_session_is_not_extended(signed_in: SignedIn, session: Session) -> None:
    session.close("ended")

    page = signed_in("operator").post(
        f"/admin/sessions/{session.pk}/do/extend/", {"hours": "1"}, follow=True
    )

    assert "The session has ended." in page.content.decode()
    assert not AuditEntry.objects.filter(verb="session.extended").exists()


def test_forking_here_takes_the_messages_up_to_here(signed_in: SignedIn, session: Session) -> None:
    first = session.messages.get(sequence=1)

    answer = signed_in("operator").post(
        f"/admin/sessions/{session.pk}/do/fork/", {"at": str(first.pk)}, follow=True
    )

    fork = Session.objects.get(forked_from=session)
    assert [row.sequence for row in fork.messages.all()] == [1]
    assert answer.redirect_chain[-1][0] == f"/admin/sessions/{fork.pk}/"
    assert AuditEntry.objects.get(verb="session.forked").details == {"into": str(fork.pk)}


def test_a_fork_is_made_once_however_often_its_form_is_sent(
    signed_in: SignedIn, session: Session
) -> None:
    client, url = signed_in("operator"), f"/admin/sessions/{session.pk}/do/fork/"

    answers = [client.post(url, {"once": "a"}) for _ in range(2)]

    assert answers[0]["Location"] == answers[1]["Location"]
    assert Session.objects.filter(forked_from=session).count() == 1


def test_a_fork_at_no_message_is_refused(signed_in: SignedIn, session: Session) -> None:
    client, url = signed_in("operator"), f"/admin/sessions/{session.pk}/do/fork/"

    for at in ("x", "\x00", str(uuid4())):
        page = client.post(url, {"at": at, "once": "a"}, follow=True).content.decode()
        assert "message" in page
    assert not Session.objects.filter(forked_from=session).exists()


def test_cancelling_stops_the_run_that_was_asked_about_and_no_later_one(
    signed_in: SignedIn, session: Session
) -> None:
    client, url = signed_in("operator"), f"/admin/sessions/{session.pk}/do/cancel/"
    over = session.runs.get()
    now = run_of(session, status="running", finished_at=None, owner=PROCESS_ID)
    behind = run_of(session, status="queued", finished_at=None, owner=PROCESS_ID)

    for run in (str(over.pk), "", "x"):
        page = client.post(url, {"run": run}, follow=True).content.decode()
        assert "Nothing was cancelled" in page
    assert f'name="run" value="{now.pk}"' in client.get(url).content.decode()
    assert not session.runs.exclude(cancel_reason="").exists()
    client.post(url, {"run": str(now.pk)})

    assert {run.pk for run in session.runs.exclude(cancel_reason="")} == {now.pk, behind.pk}
    assert AuditEntry.objects.get(verb="run.cancelled").details == {"run": str(now.pk)}


def test_what_staff_did_is_on_the_sessions_page(signed_in: SignedIn, session: Session) -> None:
    signed_in("operator").post(f"/admin/sessions/{session.pk}/do/end/")

    page = signed_in("viewer").get(f"/admin/sessions/{session.pk}/").content.decode()

    assert "<strong>operator</strong> ended the session" in page


def test_every_open_question_is_on_the_page_however_many_were_asked_before(
    signed_in: SignedIn, session: Session
) -> None:
    run = run_of(session, status="waiting", finished_at=None, owner=PROCESS_ID)
    said(run, 3, "user", [{"type": "text", "text": "Go on"}], "user")
    for _ in range(120):
        asked(run, "Bash", {"command": "true"}, status="allowed")
    for number in range(3):
        asked(run, "Bash", {"command": f"echo still open {number}"})

    page = signed_in("approver").get(f"/admin/sessions/{session.pk}/").content.decode()

    assert page.count('class="ap-form"') == 3


def test_an_earlier_page_knows_results_that_are_on_the_next_one(
    signed_in: SignedIn, session: Session
) -> None:
    run = session.runs.get()
    call = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": "ls"}}
    said(run, 3, "assistant", [call])
    said(run, 4, "user", [{"type": "tool_result", "tool_use_id": "t1", "content": "a.txt"}])

    page = signed_in("viewer").get(f"/admin/sessions/{session.pk}/?before=4").content.decode()

    assert '<span class="badge ok">done</span>' in page
    assert "a.txt" in page


def test_an_approver_does_nothing_to_sessions(signed_in: SignedIn, session: Session) -> None:
    client = signed_in("approver")
    for verb in ("cancel", "end", "extend", "fork"):
        assert client.post(f"/admin/sessions/{session.pk}/do/{verb}/").status_code == 403
    assert not AuditEntry.objects.filter(target_id=str(session.pk)).exists()


@pytest.fixture
def workspace(session: Session) -> Path:
    session.engine = "claude-code"
    session.save()
    root = agents.workspaces().private(str(session.key_id), str(session.pk))
    root.mkdir(parents=True)
    (root / 'a"\r\n<b>.txt').write_text("<script>")
    (root / "out").symlink_to("/etc/passwd")
    return root


def test_files_are_looked_at_and_fetched_but_not_followed(
    signed_in: SignedIn, session: Session, workspace: Path
) -> None:
    client, url = signed_in("operator"), f"/admin/sessions/{session.pk}/files/"

    assert "&lt;script&gt;" in client.get(url, {"path": 'a"\r\n<b>.txt'}).content.decode()
    answer = client.get(f"{url}download/", {"path": 'a"\r\n<b>.txt'})
    assert answer["Content-Disposition"] == "attachment; filename*=UTF-8''a%22%0D%0A%3Cb%3E.txt"
    assert answer["Content-Type"] == "application/octet-stream"
    assert AuditEntry.objects.filter(verb="session.file_downloaded").exists()
    for path in ("out", "../x", "/etc/passwd"):
        assert client.get(url, {"path": path}).status_code == 404
        assert client.get(f"{url}download/", {"path": path}).status_code == 404


def test_a_viewer_looks_at_files_but_takes_none_away(
    signed_in: SignedIn, session: Session, workspace: Path
) -> None:
    client, url = signed_in("viewer"), f"/admin/sessions/{session.pk}/files/"

    assert client.get(url).status_code == 200
    assert client.get(f"{url}download/", {"path": "out"}).status_code == 403


@pytest.mark.parametrize("kind", [Message, Run, Approval])
def test_an_export_reads_no_more_at_once_than_a_bound(
    session: Session, monkeypatch: pytest.MonkeyPatch, kind: type[Model]
) -> None:
    monkeypatch.setattr(export, "PAGE_CHARACTERS", 2_500)
    for number in range(5):
        run = run_of(session, error={"message": "x" * 1_000})
        said(run, number + 3, "assistant", [{"type": "text", "text": "x" * 1_000}])
        asked(run, "Bash", {"command": "x" * 1_000})
    pages, after = [], None
    while rows := export.rows_of(kind, session)(after):
        pages.append(rows)
        after = rows[-1]

    assert max(len(rows) for rows in pages) <= 4
    found = [row.pk for rows in pages for row in rows]
    assert len(found) == len(set(found)) == kind._default_manager.filter(session=session).count()


@pytest.mark.django_db(transaction=True)
async def test_an_export_holds_everything(signed_in: SignedIn, session: Session) -> None:
    from asgiref.sync import sync_to_async

    client = await sync_to_async(signed_in)("operator")
    run = await session.runs.afirst()
    await sync_to_async(asked)(
        run, "Bash", {"command": "rm -rf /srv"}, updated_input={"command": "ls /srv"},
        status="allowed", decided_by="operator:anna", decided_at=timezone.now(),
    )  # fmt: skip
    get = sync_to_async(client.get)
    found = {}
    for kind in ("json", "md"):
        answer = await get(f"/admin/sessions/{session.pk}/export.{kind}")
        assert isinstance(answer, StreamingHttpResponse)
        found[kind] = b"".join([part async for part in answer]).decode()

    whole = json.loads(found["json"])
    assert [row["sequence"] for row in whole["messages"]] == [1, 2]
    assert whole["runs"][0]["requestId"] == "req-1"
    assert whole["session"]["title"] == "Repair the shop"
    assert "Hi, Alice" in found["md"]
    approvals = found["md"].partition("## Approvals")[2]
    assert ": allowed by operator:anna, " in approvals
    assert approvals.index("allowed with this input") < approvals.index('"ls /srv"')


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("sessions", {}),
        ("sessions", {"key": str(uuid4())}),
        ("sessions", {"status": "ended"}),
        ("sessions", {"engine": "messages", "model": "x"}),
        ("sessions", {"q": "words"}),
        ("sessions", {"q": "801f5d45"}),
        ("sessions", {"since": "day"}),
        ("sessions", {"q": str(uuid4())}),
        ("runs", {}),
        ("runs", {"key": str(uuid4())}),
        ("runs", {"session": str(uuid4())}),
        ("runs", {"status": "failed"}),
        ("runs", {"status": "unfinished"}),
        ("runs", {"q": "req-1"}),
        ("runs", {"q": "801f5d45"}),
        ("runs", {"q": "UPSTREAM_TIMEOUT", "since": "week"}),
        ("approvals", {}),
        ("approvals", {"session": str(uuid4())}),
        ("approvals", {"q": "Bash", "status": "denied"}),
    ],
)
def test_every_list_begins_at_an_index(kind: str, wanted: dict[str, str]) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("reads SQLite's plans")
    with CaptureQueriesContext(connection) as captured:
        LISTS[kind](Filters(**wanted))

    for query in captured.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN QUERY PLAN " + query["sql"].replace("%", "%%"))
            plan = [row[3] for row in cursor.fetchall()]
        scans = [step for step in plan if step.startswith("SCAN sessions_app")]
        assert not [step for step in scans if "INDEX" not in step], (query["sql"], plan)
