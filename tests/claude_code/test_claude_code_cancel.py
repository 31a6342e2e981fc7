"""Stopping a run: in mid-stream, in mid-tool, before it starts, and what follows."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from sessions_app.engines.events import Delta
from tests.claude_code.cast import Session, TestHost, bash, processes_with, until
from tests.timing import fastest


async def test_a_cancel_in_mid_stream_ends_the_run_at_once_and_keeps_what_was_said(
    alice: Session,
) -> None:
    async def measure() -> float:
        host, moment = TestHost(), 0.0

        def cancel(event: object) -> None:
            nonlocal moment
            if isinstance(event, Delta) and b"tok5 " in event.raw:
                moment = time.monotonic()
                host.cancelled.set()

        told = await alice.say("[[sim slow n=500 delay=20ms]]", host, cancel)
        took = time.monotonic() - moment

        assert told.finished.status == "cancelled"
        assert told.finished.text.startswith("tok0 tok1")
        assert told.finished.usage.cache_creation_tokens > 0
        assert told.finished.usage.output_tokens > 5, "what was written until then is paid for"
        return took

    await fastest(measure, 0.25)


async def test_a_cancel_in_mid_tool_kills_the_tools_process(alice: Session) -> None:
    async def measure() -> float:
        host = TestHost()
        saying = asyncio.create_task(alice.say(bash("sleep 4321"), host))
        await until(lambda: processes_with("sleep\x004321"))

        moment = time.monotonic()
        host.cancelled.set()
        told = await saying
        took = time.monotonic() - moment

        assert told.finished.status == "cancelled"
        await until(lambda: not processes_with("sleep\x004321"))
        return took

    await fastest(measure, 0.5)


async def test_the_next_message_is_not_hit_by_a_cancel(alice: Session) -> None:
    for number in range(5):
        host = TestHost()
        host.cancelled.set()
        await alice.say(f"[[sim slow n=5 delay=5ms]] {number}", host)
        told = await alice.say(f"[[sim text 'answer {number}']]")
        assert told.finished.status == "completed"
        assert told.finished.text == f"answer {number}"


async def test_a_cancel_at_any_moment_of_a_start_ends_only_its_own_run(alice: Session) -> None:
    await alice.say("Hello")
    pids = alice.engine.live_sessions()
    for number in range(8):
        host = TestHost()
        asyncio.get_running_loop().call_later(number * 0.006, host.cancelled.set)
        began = time.monotonic()
        told = await alice.say("[[sim slow n=1000 delay=20ms]]", host)
        assert told.finished.status == "cancelled"
        assert time.monotonic() - began < 15
        assert (await alice.say("[[sim text 'fine']]")).finished.text == "fine"
    assert alice.engine.live_sessions() == pids


async def test_a_cancel_while_the_process_starts_ends_it(alice: Session) -> None:
    host = TestHost()
    asyncio.get_running_loop().call_later(0.15, host.cancelled.set)

    told = await alice.say("Hello", host)

    assert told.finished.status == "cancelled"
    await until(lambda: not processes_with(alice.claude_id))
    assert (await alice.say("[[sim text 'fine']]")).finished.text == "fine"


async def test_a_cancel_that_comes_with_the_last_word_harms_nobody(alice: Session) -> None:
    for number in range(5):
        host = TestHost()

        def cancel(event: object, host: TestHost = host) -> None:
            if isinstance(event, Delta) and b"message_stop" in event.raw:
                host.cancelled.set()

        told = await alice.say(f"[[sim text 'short {number}']]", host, cancel)
        assert told.error is None
        assert (await alice.say("[[sim text 'fine']]")).finished.text == "fine"


async def test_a_run_whose_reader_leaves_takes_its_process_with_it(alice: Session) -> None:
    events = alice.engine.run(alice.turn("[[sim slow n=500 delay=20ms]]"), TestHost())
    async for event in events:
        if isinstance(event, Delta):
            break
    await events.aclose()

    await until(lambda: not processes_with(alice.claude_id))
    assert (await alice.say("[[sim text 'back']]")).finished.text == "back"


async def test_a_stopped_cli_is_killed_when_it_does_not_obey(alice: Session) -> None:
    host = TestHost()
    await alice.say("Hello")
    saying = asyncio.create_task(alice.say("[[sim slow n=500 delay=20ms]]", host))
    await until(lambda: alice.engine.live_sessions()[alice.session_id]["busy"])
    stopped = processes_with(alice.claude_id)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    host.cancelled.set()
    told = await saying

    assert told.finished.status == "cancelled"
    await until(lambda: not processes_with(alice.claude_id))
