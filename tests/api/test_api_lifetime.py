"""What time does: idle sessions expire, old ones are removed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from keys_app.models import ApiKey
from sessions_app.models import EventChunk, Message, Run, Session
from tests.api.caller import Caller, ServerDatabase, ok, refused
from tests.api.conftest import Issue, Opened
from tests.server_process import ServerProcess, manage


def identity(session: str) -> str:
    return session.rpartition("/")[2]


def change(database: ServerDatabase, sessions: list[str], **fields: Any) -> None:
    with database.open() as alias:
        pks = [identity(session) for session in sessions]
        assert Session.objects.using(alias).filter(pk__in=pks).update(**fields) == len(pks)


def test_an_idle_session_expires_and_stays_readable(
    alice: Caller, database: ServerDatabase, session: str
) -> None:
    alice.say(session)
    change(database, [session], expires_at=timezone.now())
    assert ok(alice.get(session))["status"] == "expired"
    for method, path, body in (
        ("POST", "/messages", {"prompt": "x"}),
        ("POST", "/messages", {"prompt": "x", "stream": True}),
        ("POST", "/messages", {"prompt": "x", "background": True}),
        ("POST", "/stream", {"prompt": "x"}),
        ("GET", "/stream?prompt=x", None),
        ("PATCH", "", {"title": "x"}),
    ):
        refused(alice(method, session + path, body), 410, "SESSION_EXPIRED")
    assert ok(alice.get(f"{session}/messages"))["messages"]
    assert alice.post(f"{session}/fork").status_code == 201
    assert alice.post(f"{session}/cancel").status_code == 202
    assert alice("DELETE", session).status_code == 204


def test_each_message_extends_the_lifetime(
    alice: Caller, database: ServerDatabase, session: str
) -> None:
    soon = timezone.now() + timedelta(seconds=30)
    change(database, [session], expires_at=soon)
    alice.say(session)
    detail = ok(alice.get(session))
    assert detail["expiresAt"] > ok(alice.get(session))["createdAt"]
    with database.open() as alias:
        row = Session.objects.using(alias).get(pk=identity(session))
        assert row.expires_at > soon + timedelta(minutes=50)


def test_cleaning_up_expires_and_removes_all_there_is(
    join: Issue, any_server: ServerProcess, open_database: Opened
) -> None:
    bob, database = join("Bob"), open_database(any_server)
    idle, old, kept = (bob.session() for _ in range(3))
    bob.say(old)
    bob.post(f"{old}/messages", {"prompt": "x"}, headers={"Idempotency-Key": "1"})
    fork = f"/sessions/{bob.post(f'{old}/fork').json()['sessionId']}"
    bob("DELETE", old)
    change(database, [idle], expires_at=timezone.now())
    change(database, [old], ended_at=timezone.now() - timedelta(days=91))

    # Two commands at once, and perhaps the server's own sweep: one of them removes it.
    with ThreadPoolExecutor(2) as pool:
        clean = [pool.submit(manage, "cleanup_sessions", env=any_server.env) for _ in range(2)]
        outputs = [one.result() for one in clean]
    assert sum("\nremoved: 1\n" in output for output in outputs) <= 1

    refused(bob.get(old), 404, "SESSION_NOT_FOUND")
    assert [ok(bob.get(path))["status"] for path in (idle, fork, kept)] == [
        "expired", "active", "active",
    ]  # fmt: skip
    with database.open() as alias:
        assert Session.objects.using(alias).get(pk=identity(idle)).status == "expired"
        for kind in (EventChunk, Message, Run):
            assert not kind.objects.using(alias).filter(session_id=identity(old)).exists()
    assert ok(bob.get("/usage"))["total"]["runs"] == 2


@pytest.mark.django_db
def test_a_dry_run_only_counts() -> None:
    key, _ = ApiKey.objects.issue("Alice")
    past = timezone.now() - timedelta(days=91)
    common = {"key": key, "engine": "messages", "model": "x", "timeout_ms": 1, "expires_at": past}
    Session.objects.create(**common)
    Session.objects.create(**common, status="ended", ended_at=past)
    Session.objects.create(**common, status="ended", ended_at=timezone.now())
    out = StringIO()
    call_command("cleanup_sessions", "--dry-run", stdout=out)
    assert out.getvalue().startswith("Dry run")
    assert {"expired: 1", "removed: 1"} <= set(out.getvalue().splitlines())
    assert Session.objects.filter(status="active").count() == 1
    assert Session.objects.count() == 3
    call_command("cleanup_sessions", stdout=StringIO())
    assert sorted(Session.objects.values_list("status", flat=True)) == ["ended", "expired"]
