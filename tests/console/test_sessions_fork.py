"""A fork of an agent's session: its files are copied, and nobody waits for that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from claudeapi.core import errors
from console import audit
from sessions_app import agents
from sessions_app.models import Session
from tests.console.talking import key_of, session_of

pytestmark = pytest.mark.django_db(transaction=True)
SignedIn = Callable[..., Client]


@pytest.fixture
def session() -> Session:
    made = session_of(key_of("Alice"), engine="claude-code")
    folder = _private(made)
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("mine")
    return made


def _private(session: Session) -> Path:
    return agents.workspaces().private(str(session.key_id), str(session.pk))


def test_no_transaction_waits_for_the_copy(
    signed_in: SignedIn, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, inside = type(agents.workspaces()).copy, []

    def watched(*given: Any) -> None:
        inside.append(connection.in_atomic_block)
        copy(*given)

    monkeypatch.setattr(type(agents.workspaces()), "copy", watched)
    signed_in("operator").post(f"/admin/sessions/{session.pk}/do/fork/")

    assert inside == [False]
    assert (_private(Session.objects.get(forked_from=session)) / "a.txt").read_text() == "mine"


def test_of_a_fork_that_is_not_made_no_copy_stays(
    signed_in: SignedIn, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **details: Any) -> None:
        raise errors.Unavailable("There is no room to write that down.")

    client = signed_in("operator")
    monkeypatch.setattr(audit, "record", full)
    client.post(f"/admin/sessions/{session.pk}/do/fork/")

    assert not Session.objects.filter(forked_from=session).exists()
    assert [folder.name for folder in _private(session).parent.iterdir()] == [str(session.pk)]
