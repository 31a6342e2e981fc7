"""What retention takes away of an agent, and what it leaves to others."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from sessions_app.models import Session, TranscriptEntry
from tests.agents.cast import bash, workspace
from tests.agents.conftest import Issue
from tests.api.caller import Caller, refused
from tests.server_process import ServerProcess, manage


@pytest.mark.slow
def test_retention_removes_folders_and_transcript_but_not_what_others_use(
    issue: Issue, server: ServerProcess, open_database: Any
) -> None:
    alice = issue("Alice")
    database = open_database(server)
    first = alice.session(permissionMode="acceptEdits")
    alice.say(first, bash("echo kettle > note.txt"))
    own = workspace(server, alice, first)
    agent = Path(server.env["DATA_DIR"]) / "agents" / own.name
    assert own.exists()
    assert agent.exists()
    assert (_entries(database, first)) > 0
    alice("DELETE", first)
    second = alice.session(resume=own.name)

    _long_ago(database, alice, first)
    manage("cleanup_sessions", env=server.env)
    refused(alice.get(first), 404, "SESSION_NOT_FOUND")
    assert not agent.exists()
    # The session that carries it on still has its folder and its memory.
    said = alice.say(second, bash("cat note.txt"))
    assert "kettle" in said["response"]

    alice("DELETE", second)
    _long_ago(database, alice, second)
    manage("cleanup_sessions", env=server.env)
    assert not own.exists()
    assert _entries(database, first) == 0


def _entries(database: Any, session: str) -> int:
    """Lines of the conversation that this session has begun."""
    with database.open() as alias:
        rows = TranscriptEntry.objects.using(alias)
        return rows.filter(conversation=session.rpartition("/")[2]).count()


def _long_ago(database: Any, caller: Caller, session: str) -> None:
    with database.open() as alias:
        Session.objects.using(alias).filter(pk=session.rpartition("/")[2]).update(
            ended_at=timezone.now() - timedelta(days=1000)
        )
