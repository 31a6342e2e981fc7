"""What a session is made with, and what becomes of it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from claudeapi.core.errors import (
    InvalidRequest,
    PolicyDenied,
    RunLost,
    UpstreamRejected,
)
from sessions_app.engines.base import Decision, Question, Upstream
from sessions_app.engines.claude_code.store import import_transcript
from simulator.testing import Probe
from tests.claude_code.cast import (
    Session,
    TestHost,
    assert_one_chain,
    bash,
    processes_with,
    tool,
    until,
)
from tests.claude_code.conftest import MakeEngine

DONE = "done"
DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


async def request_with(simulator: str, words: str) -> dict[str, Any]:
    """The body of the last request that carried these words."""
    async with Probe.client(simulator) as http:
        for entry in reversed(await Probe(simulator, http).requests()):
            if words in str(entry):
                return dict(entry["body"])
    raise AssertionError(words)


async def system_prompt_of(simulator: str, words: str) -> str:
    return str((await request_with(simulator, words))["system"])


async def test_images_and_several_blocks_are_taken(alice: Session, simulator: str) -> None:
    image = {"type": "base64", "media_type": "image/png", "data": DOT}

    told = await alice.say(
        [
            {"type": "text", "text": "Look at this:"},
            {"type": "image", "source": image},
            {"type": "text", "text": "several-blocks"},
        ]
    )

    assert told.finished.status == "completed"
    messages = (await request_with(simulator, "several-blocks"))["messages"]
    blocks = [block for each in messages for block in each["content"] if isinstance(block, dict)]
    assert image in [block.get("source") for block in blocks]


async def test_the_prompt_is_claude_codes_own_with_words_appended(
    alice: Session, simulator: str
) -> None:
    alice.append_system_prompt = "Always mention herons. " * 10_000

    await alice.say("appended-system-prompt")

    system = await system_prompt_of(simulator, "appended-system-prompt")
    assert "Claude Code" in system
    assert "Always mention herons." in system


async def test_a_prompt_of_ones_own_replaces_it(alice: Session, simulator: str) -> None:
    alice.system_prompt = "You are a heron."

    await alice.say("own-system-prompt")

    system = await system_prompt_of(simulator, "own-system-prompt")
    assert "You are a heron." in system
    assert "software engineering" not in system


async def test_the_model_of_a_live_session_can_be_changed(alice: Session) -> None:
    await alice.say("Hello")
    pids = alice.engine.live_sessions()
    alice.model = "claude-haiku-4-5"

    told = await alice.say("Hello")

    assert told.finished.model == "claude-haiku-4-5"
    assert alice.engine.live_sessions() == pids


async def test_a_model_that_does_not_exist_is_the_upstreams_refusal(alice: Session) -> None:
    await alice.say("Hello")
    alice.model = "claude-nonexistent-1"

    told = await alice.say("Hello")

    assert type(told.error) is UpstreamRejected
    assert told.error.details["status"] == 404


@pytest.mark.parametrize("busy", [True, False])
async def test_two_servers_keep_one_agent_on_a_conversation(
    alice: Session, make_engine: MakeEngine, tmp_path: Path, busy: bool
) -> None:
    await alice.say("Remember the word heron.")
    other = make_engine(transcripts=alice.engine.transcripts, data_dir=tmp_path / "elsewhere")
    elsewhere = replace(alice, engine=other)
    running = None
    if busy:
        command = bash(f"touch begun; while [ ! -e {DONE} ]; do sleep 0.1; done; echo un''heard")
        running = asyncio.create_task(alice.say(command))
        await until(lambda: alice.workspace.exists() and "begun" in alice.files())

    told = await elsewhere.say("Which word?")
    if running is not None:
        (alice.workspace / DONE).touch()
        assert type((await running).error) is RunLost
    else:
        assert type((await alice.say("unheard")).error) is RunLost

    assert "heron" in told.finished.text
    await until(lambda: not alice.engine.live_sessions())
    entries = await alice.engine.transcripts.load(alice.claude_id, "") or []
    assert_one_chain(entries)
    assert "unheard" not in str(entries)
    assert "heron" in (await elsewhere.say("And again?")).finished.text


async def test_a_fork_knows_what_was_said_and_goes_its_own_way(alice: Session) -> None:
    await alice.say("Remember the word heron.")
    branch = Session(alice.engine, alice.upstream)
    branch.claude_id = await alice.engine.fork(alice.claude_id)
    assert branch.claude_id != alice.claude_id

    told = await branch.say("Which word?")
    await alice.say("[[sim text 'only here']]")

    assert "heron" in told.finished.text
    transcript = await alice.engine.transcripts.load(branch.claude_id, "")
    assert "only here" not in str(transcript)


async def test_a_fork_can_leave_out_what_came_after_a_message(alice: Session) -> None:
    first = await alice.say("[[sim text 'first answer']]")
    await alice.say("[[sim text 'second answer']]")
    at = first.of("assistant")[0]["uuid"]

    copy = await alice.engine.fork(alice.claude_id, at)

    transcript = str(await alice.engine.transcripts.load(copy, ""))
    assert "first answer" in transcript
    assert "second answer" not in transcript


async def test_a_fork_of_nothing_is_refused(alice: Session) -> None:
    with pytest.raises(InvalidRequest):
        await alice.engine.fork("8f6d1f52-3f70-4a6b-9d4c-0d6a4c5d2b11")


async def test_an_imported_transcript_can_be_carried_on(alice: Session) -> None:
    await alice.say("Remember the word heron.")
    project = alice.engine.workspaces.data_dir / "agents" / alice.session_id / "config"
    [file] = project.glob("projects/*/*.jsonl")
    lines = file.read_bytes().splitlines()
    bob = Session(alice.engine, alice.upstream, key_id="bob")

    assert await import_transcript(alice.engine.transcripts, bob.claude_id, lines) > 0

    assert "heron" in (await bob.say("Which word?")).finished.text


async def test_a_session_works_in_an_allowed_folder(alice: Session, tmp_path_factory) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path_factory.mktemp("root")
    (root / "project").mkdir()
    alice.config = {"cwd": str(root / "project"), "roots": [str(root)]}

    await alice.say(bash("touch made"), TestHost())

    assert (root / "project" / "made").exists()


async def test_a_folder_that_has_become_a_link_elsewhere_is_refused(
    alice: Session,
    tmp_path_factory,  # type: ignore[no-untyped-def]
) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "project").symlink_to(alice.engine.workspaces.data_dir.parent)
    alice.config = {"cwd": str(root / "project"), "roots": [str(root)]}

    assert type((await alice.say("Hello")).error) is PolicyDenied


async def test_an_idle_process_is_ended_and_the_next_message_resumes(
    make_engine: MakeEngine, upstream: Upstream
) -> None:
    alice = Session(make_engine(idle_seconds=0.2), upstream)

    await alice.say("Remember the word heron.")
    await until(lambda: not processes_with(alice.claude_id))

    assert "heron" in (await alice.say("Which word?")).finished.text


async def test_the_longest_idle_makes_room_for_a_new_session(
    make_engine: MakeEngine, upstream: Upstream
) -> None:
    engine = make_engine(max_live=2)
    sessions = [Session(engine, upstream) for _ in range(3)]

    for session in sessions:
        await session.say("Hello")

    assert set(engine.live_sessions()) == {session.session_id for session in sessions[1:]}


async def test_two_messages_at_once_are_answered_one_after_the_other(alice: Session) -> None:
    first, second = await asyncio.gather(
        alice.say("[[sim slow n=10 delay=10ms]]"), alice.say("[[sim text 'second']]")
    )

    assert first.finished.text.startswith("tok0")
    assert second.finished.text == "second"
    assert len(alice.engine.live_sessions()) == 1


async def test_slash_commands_run_where_the_policy_allows_them(alice: Session) -> None:
    alice.config = {"allowSlashCommands": True}
    await alice.say("Remember the word heron.")

    told = await alice.say("/context")
    after = await alice.say("/clear")

    assert "Context Usage" in told.finished.text
    assert "/clear" in after.finished.text
    assert after.of("result")[0]["session_id"] == alice.claude_id


@pytest.mark.parametrize("command", ["/clear", "/model opus"])
async def test_a_command_that_leaves_the_session_is_words_in_any_block(
    alice: Session, command: str
) -> None:
    alice.config = {"allowSlashCommands": True}
    blocks = [{"type": "text", "text": "Hello"}, {"type": "text", "text": command}]

    told = await alice.say(blocks)
    after = await alice.say("And now?")

    assert after.of("result")[0]["session_id"] == alice.claude_id
    assert after.spent.model == told.spent.model == alice.model


@pytest.mark.parametrize(
    "config",
    [
        {"maxTurns": 0},
        {"maxTurns": "3"},
        {"permissionMode": "auto"},
        {"allowedTools": "Bash"},
        {"allowedTools": ["Read,Bash"]},
        {"disallowedTools": ["--dangerously-skip-permissions"]},
        {"maxBudgetUsd": "much"},
    ],
)
async def test_a_configuration_that_is_not_valid_is_refused(
    alice: Session, config: dict[str, object]
) -> None:
    assert type((await alice.say("Hello", **config)).error) is InvalidRequest
    assert alice.engine.live_sessions() == {}


async def test_a_subagent_works_for_the_run_and_is_paid_for_with_it(alice: Session) -> None:
    told = await alice.say(
        tool("Task", description="d", prompt="Say hello", subagent_type="general-purpose")
    )

    assert told.finished.status == "completed"
    assert len(told.of("result")) == 1


async def test_a_workspace_over_its_quota_takes_no_more_messages(
    make_engine: MakeEngine, upstream: Upstream
) -> None:
    alice = Session(make_engine(quota=5_000_000), upstream)

    assert (await alice.say(bash("head -c 9000000 /dev/zero >big"))).error is None

    async with asyncio.timeout(10):
        while (told := await alice.say("Hello")).error is None:
            pass  # It is measured after the run.
    assert type(told.error) is PolicyDenied


async def test_two_sessions_on_one_conversation_never_have_two_processes(alice: Session) -> None:
    await alice.say("Remember the word heron.")
    heir = Session(alice.engine, alice.upstream, claude_id=alice.claude_id)

    told, again = await asyncio.gather(heir.say("Which word?"), alice.say("And now?"))

    assert "heron" in told.finished.text
    assert "heron" in again.finished.text
    assert len(alice.engine.live_sessions()) == 1
    await alice.engine.release(alice.session_id)
    await alice.engine.release(heir.session_id)
    assert alice.engine.live_sessions() == {}


async def test_a_change_of_mode_reaches_the_run_in_progress(alice: Session) -> None:
    async def loosen(question: Question) -> Decision:
        await alice.engine.configure(alice.session_id, permission_mode="acceptEdits")
        return Decision(allow=True)

    host = TestHost(loosen)
    paths = [str(alice.workspace / name) for name in ("a", "b", "c")]

    await alice.say(" ".join(tool("Write", file_path=path, content="x") for path in paths), host)

    assert len(host.asked) == 1
    assert alice.files() == ["a", "b", "c"]
