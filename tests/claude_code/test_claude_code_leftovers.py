"""What a tool has started ends with its run, however far it has detached itself."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from sessions_app.engines.base import Upstream
from tests.claude_code.cast import Session, TestHost, bash, processes_with, until
from tests.claude_code.conftest import MakeEngine

pytestmark = pytest.mark.slow

MARK = f"6{os.getpid()}"
DAEMON = f"(setsid nohup sleep {MARK} >/dev/null 2>&1 & ) & echo started"
FORKING = (
    "import os, sys, time\n"
    "while True:\n"
    "    if os.fork(): os._exit(0)\n"
    "    os.setsid()\n"
    f"    open('{MARK}', 'w').close()\n"
)
HEADLESS = (
    "import ctypes, threading, time\n"
    "def stay():\n"
    f"    open('/proc/thread-self/comm', 'w').write('{MARK}')\n"
    f"    time.sleep({MARK})\n"
    "threading.Thread(target=stay).start()\n"
    "ctypes.CDLL(None).pthread_exit(None)\n"
)


def threads_named(name: str) -> list[Path]:
    """Threads of any process; one that has lost its first shows no command line."""
    found = []
    for comm in Path("/proc").glob("[0-9]*/task/*/comm"):
        with suppress(OSError):
            if comm.read_text().strip() == name:
                found.append(comm)
    return found


@pytest.fixture(params=["required", "off"])
def agent(request: pytest.FixtureRequest, make_engine: MakeEngine, upstream: Upstream) -> Session:
    return Session(make_engine(sandbox_mode=request.param), upstream)


def in_background(program: str) -> str:
    """Starts it, and ends when the test has seen it."""
    wait = "while [ ! -e seen ]; do sleep 0.1; done"
    return bash(f'setsid python3 -c "{program}" >/dev/null 2>&1 & {wait}; echo started')


async def test_a_daemon_ends_with_the_run_that_started_it_and_the_agent_lives_on(
    agent: Session,
) -> None:
    told = await agent.say(bash(DAEMON))

    assert "started" in told.tool_texts[0]
    assert not processes_with(f"sleep\0{MARK}")
    live = agent.engine.live_sessions()
    assert (await agent.say("[[sim text 'fine']]")).finished.text == "fine"
    assert agent.engine.live_sessions() == live


async def test_a_cancel_ends_what_the_tool_has_detached(agent: Session) -> None:
    host = TestHost()
    saying = asyncio.create_task(agent.say(bash(f"{DAEMON}; sleep {MARK}"), host))
    await until(lambda: len(processes_with(f"sleep\0{MARK}")) == 2)

    host.cancelled.set()

    assert (await saying).finished.status == "cancelled"
    assert not processes_with(f"sleep\0{MARK}")
    assert (await agent.say("[[sim text 'fine']]")).finished.text == "fine"


async def test_a_process_without_its_first_thread_ends_as_well(agent: Session) -> None:
    saying = asyncio.create_task(agent.say(in_background(HEADLESS)))
    await until(lambda: threads_named(MARK))
    (agent.workspace / "seen").touch()

    assert "started" in (await saying).tool_texts[0]
    assert not threads_named(MARK)


async def test_what_forks_as_fast_as_it_is_killed_ends_or_takes_its_agent_with_it(
    agent: Session,
) -> None:
    saying = asyncio.create_task(agent.say(in_background(FORKING)))
    await until((agent.workspace / MARK).exists)
    (agent.workspace / "seen").touch()
    await saying

    await until(lambda: not processes_with(f"open('{MARK}'"))
    assert (await agent.say("[[sim text 'fine']]")).finished.text == "fine"
