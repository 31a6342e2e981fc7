"""Messages and replies: the first, the next, after a restart, after a disk was lost."""

from __future__ import annotations

import shutil

import pytest

from tests.claude_code.cast import Session


async def test_a_first_message_is_answered_in_deltas_and_whole(alice: Session) -> None:
    told = await alice.say("[[sim text 'Hello Alice, how are you?']]")

    finished = told.finished
    assert finished.status == "completed"
    assert finished.text == "Hello Alice, how are you?"
    assert finished.stop_reason == "end_turn"
    assert finished.model == "claude-sonnet-5-5"
    assert finished.cost_usd > 0
    spoken = [delta["delta"]["text"] for delta in told.deltas if "text" in delta.get("delta", {})]
    assert "".join(spoken) == finished.text
    assert [body["type"] for body in told.wholes] == ["system", "assistant", "result"]
    assert {body["session_id"] for body in told.wholes} == {alice.claude_id}


async def test_a_second_message_goes_to_the_same_process_and_costs_only_itself(
    alice: Session,
) -> None:
    first = await alice.say("Hello")
    pids = alice.engine.live_sessions()
    second = await alice.say("And now?")

    assert alice.engine.live_sessions() == pids
    assert "Hello" in second.finished.text
    assert 0 < second.finished.cost_usd < first.finished.cost_usd
    assert second.of("system", "init") == []


async def test_a_conversation_goes_on_after_the_process_and_the_disk_are_gone(
    alice: Session,
) -> None:
    first = await alice.say("Remember the word heron.")
    await alice.engine.release(alice.session_id)
    assert alice.engine.live_sessions() == {}
    shutil.rmtree(alice.engine.workspaces.data_dir)

    second = await alice.say("Which word?")

    assert "heron" in second.finished.text
    assert second.of("result")[0]["session_id"] == alice.claude_id
    assert 0 < second.finished.cost_usd < first.finished.cost_usd
    told = second.of("result")[0]["total_cost_usd"]
    assert float(second.finished.cost_usd) == pytest.approx(told)
