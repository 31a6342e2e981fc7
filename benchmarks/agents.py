"""Live Claude Code sessions beside a CLI started for every message."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import orjson
from claude_agent_sdk import ClaudeAgentOptions, StreamEvent, query

from benchmarks.load import create, our_request
from benchmarks.processes import ROOT, Bench, cpu_seconds, descendants, memory
from benchmarks.report import Table, median
from benchmarks.wire import Failed, Reading, Target, connect, stream

IDLE_SECONDS = 4
ENVIRONMENT = {"AGENT_IDLE_SECONDS": str(IDLE_SECONDS), "MAX_LIVE_AGENTS": "10"}
SESSIONS = 2
LATER = 4
BARE = 3
PROMPT = '[[sim text "one two three four five"]]'
GONE_SECONDS = 20


def agents(bench: Bench) -> list[Table]:
    """First and later messages, memory, CPU, resumption; and the same with a bare CLI."""
    ours = asyncio.run(_ours(bench))
    bare = _bare(bench.upstream)
    names = {
        "first message: ms to the first delta": "first",
        "later message: ms to the first delta": "later",
        "message after the process was reaped: ms to the first delta": "resumed",
        "CPU ms of the agent's processes, first message": "first_cpu",
        "CPU ms of the agent's processes, later message": "later_cpu",
        "CPU ms of our server, later message": "server_cpu",
        "MiB (PSS) of a session's processes": "mib",
        "sessions a GiB": "per_gib",
        "CPU ms a second of an idle session": "idle_cpu",
    }
    rows = [
        [label, f"{ours[name]:.1f}", f"{bare[name]:.1f}" if name in bare else "-"]
        for label, name in names.items()
    ]
    note = (
        f"Medians over {SESSIONS} sessions and {LATER} later messages each; {BARE} bare runs of "
        "`claude_agent_sdk.query()` with partial messages, a new CLI for each message, against "
        "the same simulator, timed from the call in a Python that has the SDK loaded. A bare CLI "
        "stays for no later message, so its PSS is the highest seen while it answers."
    )
    columns = ("", "a live session here", "a CLI a message")
    return [Table("Claude Code sessions", columns, rows, note)]


async def _ours(bench: Bench) -> dict[str, float]:
    known = set(descendants(bench.pid))
    connection = await connect(bench.ours)
    made = [await create(connection, bench.ours, "claude-code") for _ in range(SESSIONS)]
    connection.close()

    def live() -> list[int]:
        return [pid for pid in descendants(bench.pid) if pid not in known]

    first, first_cpu = [], []
    for session in made:
        before = _cpu(live())
        first.append(await _first_delta(bench.ours, session))
        first_cpu.append(_cpu(live()) - before)
    later, later_cpu, server_cpu = [], [], []
    for session in made:
        before, of_server = _cpu(live()), cpu_seconds(bench.pid)
        later += [await _first_delta(bench.ours, session) for _ in range(LATER)]
        later_cpu.append((_cpu(live()) - before) / LATER)
        server_cpu.append((cpu_seconds(bench.pid) - of_server) / LATER)
    pids = live()
    mib = sum(memory(pid)["Pss"] for pid in pids) / SESSIONS / 2**20
    before, began = _cpu(pids), monotonic()
    await asyncio.sleep(2)
    idle = (_cpu(pids) - before) / SESSIONS / (monotonic() - began)
    await _reaped(live)
    resumed = [await _first_delta(bench.ours, session) for session in made]
    return {
        "first": median(first) * 1000,
        "later": median(later) * 1000,
        "resumed": median(resumed) * 1000,
        "first_cpu": median(first_cpu) * 1000,
        "later_cpu": median(later_cpu) * 1000,
        "server_cpu": median(server_cpu) * 1000,
        "mib": mib,
        "per_gib": 1024 / mib,
        "idle_cpu": idle * 1000,
    }


def _cpu(pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
        try:
            total += cpu_seconds(pid)
        except OSError:
            continue  # it has ended meanwhile
    return total


async def _reaped(live: Callable[[], list[int]]) -> None:
    deadline = monotonic() + IDLE_SECONDS + GONE_SECONDS
    while live():
        if monotonic() > deadline:
            raise Failed("idle agents were not reaped")
        await asyncio.sleep(0.2)


async def _first_delta(target: Target, session: str) -> float:
    connection = await connect(target)
    reading: Reading = await stream(connection, our_request(target, session, PROMPT, streamed=True))
    connection.close()
    if not reading.deltas:
        raise Failed(f"an agent's stream without a delta: status {reading.status}")
    return reading.deltas[0]


def _bare(target: Target) -> dict[str, float]:
    """A process of its own asks, so that its children and its CPU can be told apart."""
    command = [sys.executable, "-m", "benchmarks.agents", target.url, target.key]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        most = 0.0
        while process.poll() is None:
            most = max(most, _pss(descendants(process.pid)))
            sleep(0.05)
        assert process.stdout is not None
        result: dict[str, float] = orjson.loads(process.stdout.read())
    result["mib"] = most / 2**20
    result["per_gib"] = 1024 / result["mib"]
    return result


def _pss(pids: list[int]) -> float:
    total = 0.0
    for pid in pids:
        try:
            total += memory(pid).get("Pss", 0)
        except OSError:
            continue  # it has ended meanwhile
    return total


async def _ask_bare(options: ClaudeAgentOptions) -> float:
    began, first = monotonic(), 0.0
    async for message in query(prompt=PROMPT, options=options):
        is_delta = (
            isinstance(message, StreamEvent) and message.event["type"] == "content_block_delta"
        )
        if is_delta and not first:
            first = monotonic() - began
    return first


async def _main(url: str, key: str) -> None:
    with TemporaryDirectory(prefix="bare-") as folder:
        options = ClaudeAgentOptions(
            cwd=folder,
            model="claude-sonnet-5",
            system_prompt={"type": "preset", "preset": "claude_code"},
            include_partial_messages=True,
            setting_sources=[],
            env={
                "ANTHROPIC_BASE_URL": url,
                "ANTHROPIC_API_KEY": key,
                "CLAUDE_CONFIG_DIR": folder,
                "HOME": folder,
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            },
        )
        times, costs = [], []
        for _ in range(BARE):
            before = sum(os.times()[2:4])
            times.append(await _ask_bare(options))
            costs.append(sum(os.times()[2:4]) - before)
    milliseconds, cpu = median(times) * 1000, median(costs) * 1000
    result = {"first": milliseconds, "later": milliseconds, "resumed": milliseconds}
    result |= {"first_cpu": cpu, "later_cpu": cpu}
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:3]))
