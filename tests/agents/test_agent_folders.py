"""Whose folder a session works in: its own, a copy, or that of the session it carries on."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.utils import timezone

from claudeapi.conf import options
from keys_app.models import ApiKey
from sessions_app import agents, cleanup, copying, remains, transcripts
from sessions_app.engines.claude_code.workspaces import Workspaces
from sessions_app.models import Session, Transcript, TranscriptEntry

pytestmark = pytest.mark.django_db(transaction=True)


class Alice:
    """Her key, and requests with it."""

    def __init__(self, **fields: Any) -> None:
        self.key, self._text = ApiKey.objects.issue("Alice's key", **fields)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return Client().post(
            f"/api/v1{path}",
            body or {},
            content_type="application/json",
            headers={"x-api-key": self._text, **headers},
        )

    def session(self, **body: Any) -> Session:
        """A session that she makes."""
        answer = self.post("/sessions", {"engine": "claude-code", **body})
        assert answer.status_code == 201, answer.json()
        return Session.objects.get(pk=answer.json()["sessionId"])

    def fork(self, session: Session) -> Session:
        answer = self.post(f"/sessions/{session.pk}/fork")
        assert answer.status_code == 201, answer.json()
        return Session.objects.get(pk=answer.json()["sessionId"])


@pytest.fixture
def alice() -> Alice:
    return Alice()


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "OPTIONS", replace(options(), data_dir=tmp_path))


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each copy that is made: whether a transaction waits for it."""
    seen: list[bool] = []
    copy = Workspaces.copy

    def watched(*args: Any) -> None:
        seen.append(connection.in_atomic_block)
        copy(*args)

    monkeypatch.setattr(Workspaces, "copy", watched)
    return seen


def folder_of(session: Session) -> Path:
    """Where the session's agent works, with a note in it that says whose it is."""
    folder = agents.private_folder(session)
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "note").exists():
        (folder / "note").write_text(str(session.pk))
    return folder


def test_a_branch_of_a_resumed_session_works_in_a_copy(alice: Alice) -> None:
    first = alice.session()
    folder = folder_of(first)
    first.close("ended")
    second = alice.session(resume=str(first.pk))
    assert agents.private_folder(second) == folder
    assert second.config["workspace"] == str(first.pk)

    for branch in (alice.fork(second), alice.session(resume=str(second.pk), fork=True)):
        copied = agents.private_folder(branch)
        assert copied == folder.parent / str(branch.pk)
        assert (copied / "note").read_text() == str(first.pk)


def test_a_folder_below_the_keys_own_goes_by_its_name_and_its_branch_has_a_copy(
    alice: Alice,
) -> None:
    inside = folder_of(alice.session()) / "sub"
    inside.mkdir()
    (inside / "here").touch()

    session = alice.session(cwd=str(inside))

    assert session.config["workspace"] == f"{inside.parent.name}/sub"
    assert "cwd" not in session.config
    copied = agents.private_folder(alice.fork(session))
    assert copied is not None
    assert [path.name for path in copied.iterdir()] == ["here"]


def test_the_files_of_an_admins_branch_are_copied_to_the_admin(alice: Alice) -> None:
    operator = Alice(scopes=["admin"])
    session = alice.session()
    folder_of(session)

    copied = agents.private_folder(operator.fork(session))

    assert copied is not None
    assert copied.parent.name == str(operator.key.pk)
    assert [path.name for path in copied.iterdir()] == ["note"]


def test_no_transaction_waits_for_a_copy(alice: Alice, copies: list[bool]) -> None:
    session = alice.session()
    folder = folder_of(session)
    for path, body in (
        (f"/sessions/{session.pk}/fork", {}),
        ("/sessions", {"resume": str(session.pk), "fork": True}),
        ("/sessions", {"resume": str(session.pk)}),
    ):
        key = {"Idempotency-Key": f"{path} {body}"}
        first = alice.post(path, body, **key)
        again = alice.post(path, body, **key)
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()

    assert copies == [False, False, False], "an answer given again needs no copy"
    assert len(list(folder.parent.iterdir())) == 4


@pytest.mark.parametrize("refusal", ["POLICY_DENIED", "MAX_SESSIONS_REACHED", "INVALID_REQUEST"])
def test_a_branch_that_is_refused_leaves_no_copy(
    alice: Alice, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    session = alice.session()
    folder = folder_of(session)
    os.truncate(folder / "note", 100_000)
    body = {}
    if refusal == "POLICY_DENIED":
        small = replace(options().agents, quota=50_000)
        monkeypatch.setattr(settings, "OPTIONS", replace(options(), agents=small))
    elif refusal == "MAX_SESSIONS_REACHED":
        ApiKey.objects.update(max_sessions=1)
        alice.key.announce()
    else:
        body = {"atMessage": str(uuid4())}

    answer = alice.post(f"/sessions/{session.pk}/fork", body)

    assert answer.json()["error"]["code"] == refusal
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_few_large_folders_are_copied_at_once_and_one_of_a_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(copying, "SMALL_BYTES", 0)
    cast = [Alice() for _ in range(copying.LARGE_AT_ONCE + 1)]
    sessions = [one.session() for one in cast]
    for session in sessions:
        folder_of(session)
    copy, inside, outcomes = Workspaces.copy, iter(range(1, len(cast))), []

    def fork(at: int) -> Any:
        return cast[at].post(f"/sessions/{sessions[at].pk}/fork")

    def while_others_copy(*args: Any) -> None:
        following = next(inside)
        outcomes.append((following - 1, fork(following - 1)))
        outcomes.append((following, fork(following)))
        copy(*args)

    with monkeypatch.context() as during:
        during.setattr(Workspaces, "copy", while_others_copy)
        assert fork(0).status_code == 201

    refused = [(at, answer) for at, answer in outcomes if answer.status_code == 503]
    assert [at for at, _ in refused] == [0, 1, 2]
    for _, answer in refused:
        assert answer.json()["error"]["code"] == "UNAVAILABLE"
        assert answer["Retry-After"] == str(copying.RETRY_AFTER_SECONDS)
    assert [fork(at).status_code for at in range(len(cast))] == [201] * len(cast)


def test_a_small_folder_is_copied_whoever_else_copies(
    alice: Alice, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, copy = alice.session(), Workspaces.copy
    folder_of(session)

    def and_again(*args: Any) -> None:
        monkeypatch.setattr(Workspaces, "copy", copy)
        alice.fork(session)
        copy(*args)

    monkeypatch.setattr(Workspaces, "copy", and_again)
    alice.fork(session)
    assert alice.key.sessions.count() == 3


@pytest.mark.parametrize("call", ["mkdir", "open", "sendfile"])
def test_a_full_disk_is_said_and_leaves_no_copy(
    alice: Alice, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    session = alice.session()
    folder = folder_of(session)
    real = getattr(os, call)

    def full(*args: Any, **kwargs: Any) -> Any:
        if call == "open" and not args[1] & os.O_CREAT:
            return real(*args, **kwargs)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/where/it/is")

    with monkeypatch.context() as during:
        during.setattr(os, call, full)
        answer = alice.post(f"/sessions/{session.pk}/fork")

    assert answer.status_code == 503
    error = answer.json()["error"]
    assert (error["code"], error["details"]) == (
        "UNAVAILABLE", {"reason": "No space left on device"},
    )  # fmt: skip
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_what_cannot_be_copied_is_left_out(alice: Alice) -> None:
    session = alice.session()
    os.mkfifo(folder_of(session) / "pipe")

    copied = agents.private_folder(alice.fork(session))

    assert copied is not None
    assert [path.name for path in copied.iterdir()] == ["note"]


@pytest.fixture
def ended(alice: Alice) -> Session:
    session = alice.session()
    agents.workspaces().prepare(str(session.key_id), str(session.pk))
    session.close("ended")
    return session


def test_what_another_machine_has_removed_is_swept_here(ended: Session, tmp_path: Path) -> None:
    folder = tmp_path / "agents" / str(ended.pk)
    remains.sweep()
    assert folder.exists()
    (tmp_path / "agents" / "something-else").mkdir()

    Session.objects.all().delete()
    remains.sweep()

    assert [path.name for path in folder.parent.iterdir()] == ["something-else"]


def test_folders_are_removed_after_the_transaction(
    ended: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[bool] = []
    remove = Workspaces.remove_work

    def watched(*args: Any) -> None:
        waited.append(connection.in_atomic_block)
        remove(*args)

    monkeypatch.setattr(Workspaces, "remove_work", watched)

    assert cleanup.remove(ended)

    assert waited == [False]
    assert not agents.workspaces().private(str(ended.key_id), str(ended.pk)).exists()


def test_a_session_in_a_folder_that_somebody_named_is_removed_without_it(ended: Session) -> None:
    named = folder_of(ended).parent / "shared"
    named.mkdir()
    Session.objects.update(config={"workspace": "shared"})
    ended.refresh_from_db()

    assert cleanup.remove(ended)

    assert named.exists()
    assert not agents.workspaces().private(str(ended.key_id), str(ended.pk)).exists()


def test_a_session_that_cannot_be_removed_is_in_nobodys_way(
    alice: Alice, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = [alice.session() for _ in range(3)]
    for session in sessions:
        session.close("ended")
    Session.objects.update(ended_at=timezone.now() - timedelta(days=1000))
    forget = remains.forget

    def fails_on_one(session: Session) -> None:
        if session == sessions[0]:
            raise ValueError
        forget(session)

    monkeypatch.setattr(remains, "forget", fails_on_one)

    assert cleanup.clean_up().removed == 2
    assert Session.objects.get() == sessions[0]


@pytest.fixture
def a_day_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remains, "ABANDONED_AFTER", timedelta(0))


def carried_on(session: Session) -> Session:
    """Another session on its conversation and in its folder."""
    return Session.objects.create(
        key=session.key,
        engine="claude-code",
        claude_session_id=session.claude_session_id,
        config={"workspace": f"{session.pk}/sub"},
        timeout_ms=1,
        expires_at=session.expires_at,
    )


@pytest.mark.usefixtures("a_day_later")
def test_a_server_that_dies_as_it_removes_a_session_leaves_nothing_for_good(
    ended: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    transcripts.append(ended.claude_session_id, "", [{"type": "user"}])
    folder = folder_of(ended)

    def killed(*args: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as dying:
        dying.setattr(Workspaces, "remove_work", killed)
        with pytest.raises(SystemExit):
            cleanup.remove(ended)
    assert (Session.objects.count(), Transcript.objects.count()) == (0, 0)
    assert TranscriptEntry.objects.count() == 0
    assert folder.exists()

    remains.sweep()

    assert not folder.exists()
    assert list((tmp_path / "agents").iterdir()) == []


@pytest.mark.usefixtures("a_day_later")
def test_what_a_session_carries_on_is_kept_until_it_goes_too(ended: Session) -> None:
    transcripts.append(ended.claude_session_id, "", [{"type": "user"}])
    folder, heir = folder_of(ended), carried_on(ended)

    cleanup.remove(ended)
    remains.sweep()

    assert folder.exists()
    assert transcripts.load(heir.claude_session_id, "") is not None
    cleanup.remove(heir)
    assert not folder.exists()
    assert not Transcript.objects.exists()


def test_a_copy_that_was_left_half_made_goes_once_it_is_old(
    ended: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_folder = folder_of(ended).parent
    strangers = key_folder.parent / str(uuid4()) / str(uuid4())
    copy, named = key_folder / str(uuid4()), key_folder / "something-else"
    for folder in (copy, strangers, named):
        folder.mkdir(parents=True)

    remains.sweep()
    assert copy.exists(), "its session may be about to be made"

    monkeypatch.setattr(remains, "ABANDONED_AFTER", timedelta(0))
    remains.sweep()
    assert {folder.name for folder in key_folder.iterdir()} == {str(ended.pk), "something-else"}
    assert strangers.exists(), "its key is in another database"


def test_a_transcript_of_no_session_is_swept(alice: Alice) -> None:
    session = alice.session()
    for conversation in (session.claude_session_id, "nobody's"):
        transcripts.append(conversation, "", [{"type": "user"}])

    remains.sweep()

    assert [row.conversation for row in Transcript.objects.all()] == [session.claude_session_id]
    assert TranscriptEntry.objects.count() == 1
