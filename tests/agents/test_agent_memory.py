"""What an agent remembers when the database is away for a while, or another agent came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from django.db import OperationalError

from claudeapi.core import database
from claudeapi.core.database import close_connections, in_db
from sessions_app import transcripts
from sessions_app.models import Transcript, TranscriptEntry


async def test_a_transcript_waits_for_a_database_in_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[tuple[Any, ...]] = []

    async def in_db(work: Callable[..., Any], *arguments: Any) -> None:
        tries.append(arguments)
        if len(tries) == 1:
            raise OperationalError("the database is restarting")

    monkeypatch.setattr(transcripts, "in_db", in_db)
    monkeypatch.setattr(database, "RETRY_SECONDS", 0)

    await transcripts.DatabaseTranscripts().append("conversation", "", [{"uuid": "1"}])

    assert tries == [("conversation", "", [{"uuid": "1"}], None)] * 2


@pytest.mark.django_db
def test_only_the_agent_that_was_started_last_adds_to_a_transcript() -> None:
    transcripts.append("c", "", [{"uuid": "copied"}])
    first = transcripts.claim("c")
    assert transcripts.append("c", "", [{"uuid": "1"}], first)
    second = transcripts.claim("c")
    assert not transcripts.append("c", "", [{"uuid": "late"}], first)
    assert not transcripts.append("c", "subagents/agent-1", [{"uuid": "late"}], first)
    assert transcripts.append("c", "", [{"uuid": "2"}], second)
    assert transcripts.load("c", "") == [{"uuid": "copied"}, {"uuid": "1"}, {"uuid": "2"}]

    transcripts.delete("c")
    assert not transcripts.append("c", "", [{"uuid": "late"}], second)
    assert not TranscriptEntry.objects.exists()
    assert not Transcript.objects.exists()


@pytest.mark.django_db(transaction=True)
async def test_after_a_claim_nothing_is_added_that_its_reader_has_not_seen() -> None:
    store = transcripts.DatabaseTranscripts()

    async def an_agent(name: int) -> tuple[int, int]:
        """What it found, and how much it could add before the next one came."""
        claim = await store.claim("c")
        found = len(await store.load("c", "") or [])
        added = 0
        while added < 20 and await store.append("c", "", [{"uuid": f"{name}-{added}"}], claim):
            added += 1
        return found, added

    agents = sorted(await asyncio.gather(*(an_agent(name) for name in range(12))))

    for (found, added), (found_next, _) in pairwise(agents):
        assert found + added == found_next
    positions = TranscriptEntry.objects.order_by("position").values_list("position", flat=True)
    assert await in_db(list, positions) == list(range(1, sum(agents[-1]) + 1))
    await close_connections()
