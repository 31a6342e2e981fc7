"""Transcripts in a repository."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import orjson
import pytest
from claude_agent_sdk.testing import run_session_store_conformance

from claudeapi.core.errors import InvalidRequest
from sessions_app.engines.claude_code.store import (
    MAIN,
    Claim,
    MemoryTranscripts,
    by_project,
    import_transcript,
    only,
    restore,
    session_store,
)


async def test_it_is_a_session_store_as_the_sdk_wants_it() -> None:
    await run_session_store_conformance(lambda: session_store(MemoryTranscripts(), by_project))


async def test_a_batch_that_comes_twice_is_kept_once() -> None:
    repository = MemoryTranscripts()
    batch = [{"type": "user", "uuid": "1"}, {"type": "title"}]

    await repository.append("c", MAIN, batch)
    await repository.append("c", MAIN, [*batch, {"type": "user", "uuid": "2"}])

    kept = await repository.load("c", MAIN)
    assert [entry.get("uuid") for entry in kept or []] == ["1", None, None, "2"]


async def test_only_the_agent_that_was_started_last_adds_to_a_conversation() -> None:
    repository, lost = MemoryTranscripts(), list[str]()
    agents = {}
    for name in ("first", "second"):
        claim = Claim(await repository.claim("c"), partial(lost.append, name))
        agents[name] = session_store(repository, only("c"), claim)

    for name, agent in agents.items():
        await agent.append({"project_key": "p", "session_id": "c"}, [{"type": name}])

    assert lost == ["first"]
    assert await repository.load("c", MAIN) == [{"type": "second"}]
    await repository.delete("c")
    await agents["second"].append({"project_key": "p", "session_id": "c"}, [{"type": "late"}])
    assert lost == ["first", "second"]
    assert await repository.load("c", MAIN) is None


async def test_an_agent_cannot_write_into_anothers_transcript() -> None:
    repository = MemoryTranscripts()
    store = session_store(repository, only("mine"))

    with pytest.raises(PermissionError):
        await store.append({"project_key": "p", "session_id": "yours"}, [{"type": "user"}])

    assert await repository.load("yours", MAIN) is None


async def test_a_conversation_is_restored_with_its_subagents_and_nothing_leads_out(
    tmp_path: Path,
) -> None:
    repository = MemoryTranscripts()
    await repository.append("c", MAIN, [{"type": "user", "uuid": "1"}, {"type": "cost-state"}])
    metadata = {"type": "agent_metadata", "agentType": "Explore"}
    await repository.append("c", "subagents/agent-1", [metadata, {"type": "user", "uuid": "2"}])
    await repository.append("c", "../../outside", [{"type": "user", "uuid": "3"}])

    assert await restore(repository, "c", tmp_path, "p")

    files = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.json*"))  # noqa: ASYNC240
    assert files == [
        "projects/p/c.jsonl",
        "projects/p/c/subagents/agent-1.jsonl",
        "projects/p/c/subagents/agent-1.meta.json",
    ]
    assert (tmp_path / files[0]).read_text() == '{"type":"user","uuid":"1"}\n'


async def test_there_is_nothing_to_restore_of_a_new_conversation(tmp_path: Path) -> None:
    assert not await restore(MemoryTranscripts(), "c", tmp_path, "p")


@pytest.mark.parametrize("lines", [[b"no json"], [b"[]"], [b'{"type":"title"}'], []])
async def test_what_is_no_transcript_is_not_imported(lines: list[bytes]) -> None:
    with pytest.raises(InvalidRequest):
        await import_transcript(MemoryTranscripts(), "c", lines)


MESSAGE = {
    "type": "user",
    "uuid": "1",
    "parentUuid": None,
    "sessionId": "old",
    "message": {"role": "user", "content": "Hello"},
}


@pytest.mark.parametrize(
    "changes",
    [
        {"uuid": None},
        {"sessionId": 1},
        {"parentUuid": 1},
        {"message": None},
        {"message": {"role": "assistant", "content": "Hello"}},
        {"message": {"role": "user"}},
        {"type": "assistant", "message": {"role": "assistant", "content": []}},
    ],
)
async def test_a_message_that_could_not_be_carried_on_is_not_imported(
    changes: dict[str, object],
) -> None:
    lines = [orjson.dumps(MESSAGE), orjson.dumps({**MESSAGE, **changes})]
    with pytest.raises(InvalidRequest, match="Line 2 is no message"):
        await import_transcript(MemoryTranscripts(), "c", lines)


async def test_an_import_takes_the_new_id() -> None:
    repository = MemoryTranscripts()

    assert await import_transcript(repository, "new", [orjson.dumps(MESSAGE), b""]) == 1
    assert await repository.load("new", MAIN) == [{**MESSAGE, "sessionId": "new"}]
