"""Mixed traffic for minutes, and a look at what a server must not gain or lose by it.

    python -m benchmarks.soak [--minutes 5] [--clients 20]

Clients create sessions, stream, wait, follow from the beginning, leave in mid-stream, cancel,
and run into every fault the simulator knows. Watched: memory, file descriptors, threads and
asyncio tasks once all is quiet again, every event's number, and every run's end. The verdict is the
last line, and the exit status.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections import Counter
from dataclasses import dataclass
from time import monotonic
from typing import Any

import orjson
import uvloop

from benchmarks.load import create, our_request
from benchmarks.processes import Bench, end_cleanly_on_sigterm, memory, open_files, started, threads
from benchmarks.report import say
from benchmarks.wire import Connection, Reading, Target, ask, connect, stream

SETTLE_SECONDS = 60.0
WARM_UP_SHARE = 0.3
REPORT_SECONDS = 15.0
LEAVE_AFTER = 5
MESSAGES = 4

# What a quiet server may have more of at the end than after its warm-up.
MORE_MEMORY = 32 * 2**20
MORE_FILES = 8
MORE_THREADS = 4

PROMPTS = (
    "hello",
    "[[sim slow n=20 delay=10ms]]",
    "[[sim burst n=1000]]",
    "[[sim big size=256KiB]]",
    '[[sim thinking "Let me see."]] [[sim text "I see."]]',
    "[[sim max_tokens]]",
    "[[sim refusal]]",
)
FAULTS = (
    "[[sim status 400]]",
    "[[sim status code=500 times=1]] [[sim text ok]]",
    "[[sim status code=529 times=1 retry-after=1]] [[sim text ok]]",
    "[[sim midstream-error after=5]]",
    "[[sim cut after=5]]",
    "[[sim stall after=3 for=3s]]",
)


@dataclass(frozen=True, slots=True)
class Sight:
    """What the kernel says of the server."""

    rss: int
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Sight:
        """Look at a process."""
        return cls(memory(pid)["Rss"], open_files(pid), threads(pid))

    def __str__(self) -> str:
        return f"{self.rss / 2**20:.0f} MiB, {self.files} files, {self.threads} threads"


class Traffic:
    """Clients that do as they like until told to stop."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._sessions: list[str] = []

    async def client(self, seed: int, until: float) -> None:
        """One client: a session, some messages, the whole log, and again."""
        chance = random.Random(seed)
        while monotonic() < until:
            connection = await connect(self._target)
            try:
                await self._session(connection, chance, until)
            except Exception as error:
                self.problems.append(f"{type(error).__name__}: {error}")
            finally:
                connection.close()

    async def _session(self, connection: Connection, chance: random.Random, until: float) -> None:
        session = await create(connection, self._target)
        self.counts["sessions"] += 1
        acts = (self._streamed, self._waited, self._left, self._cancelled, self._faulty)
        for _ in range(MESSAGES):
            if monotonic() < until:
                await chance.choice(acts)(session, chance)
        await self._settled(connection, session)
        await self._whole_log(connection, session)
        status, _ = await ask(
            connection, self._target.request("DELETE", f"/api/v1/sessions/{session}")
        )
        self._expect(status == 204, f"{status} for the end of a session")

    async def _streamed(self, session: str, chance: random.Random) -> None:
        reading = await self._stream(session, chance.choice(PROMPTS))
        self.counts["streamed"] += 1
        self.counts["events"] += reading.events
        self._expect(reading.complete, "a stream was not ended")
        self._expect(
            reading.ids == reading.last_id - reading.first_id + 1, "a stream lost an event"
        )

    async def _waited(self, session: str, chance: random.Random) -> None:
        connection = await connect(self._target)
        prompt = chance.choice(PROMPTS)
        status, _ = await ask(
            connection, our_request(self._target, session, prompt, streamed=False)
        )
        connection.close()
        self.counts["waited"] += 1
        self._expect(status == 200, f"{status} for a message")

    async def _left(self, session: str, chance: random.Random) -> None:
        """Leave in mid-stream; the run stops for it, or goes on."""
        how = chance.choice(("cancel", "continue"))
        await self._stream(session, "[[sim slow n=50 delay=10ms]]", leave=True, onDisconnect=how)
        self.counts[f"left, {how}"] += 1
        await self._idle(session)

    async def _cancelled(self, session: str, chance: random.Random) -> None:
        connection = await connect(self._target)

        async def cancel() -> None:
            await asyncio.sleep(chance.random() / 5)
            path = f"/api/v1/sessions/{session}/cancel"
            status, _ = await ask(connection, self._target.request("POST", path, {}))
            self._expect(status == 202, f"{status} for a cancel")

        reading, _ = await asyncio.gather(
            self._stream(session, "[[sim slow n=100 delay=10ms]]"), cancel()
        )
        connection.close()
        self._expect(reading.complete, "a cancelled stream was not ended")
        self.counts["cancelled"] += 1

    async def _faulty(self, session: str, chance: random.Random) -> None:
        reading = await self._stream(session, chance.choice(FAULTS))
        self._expect(reading.complete, "a failed stream was not ended")
        self.counts["faults"] += 1

    async def _stream(
        self, session: str, prompt: str, *, leave: bool = False, **fields: Any
    ) -> Reading:
        body = {"prompt": prompt, "stream": True, "onBusy": "enqueue", **fields}
        path = f"/api/v1/sessions/{session}/messages"
        connection = await connect(self._target)
        stop = (lambda reading: reading.events >= LEAVE_AFTER) if leave else None
        reading = await stream(connection, self._target.request("POST", path, body), stop)
        connection.close()
        self._expect(reading.status == 200, f"{reading.status} for a stream")
        return reading

    async def _idle(self, session: str) -> None:
        connection = await connect(self._target)
        await self._settled(connection, session)
        connection.close()

    async def _settled(self, connection: Connection, session: str) -> None:
        """Wait until nothing runs in the session."""
        request = self._target.request("GET", f"/api/v1/sessions/{session}")
        deadline = monotonic() + SETTLE_SECONDS
        while monotonic() < deadline:
            status, body = await ask(connection, request)
            if status == 200 and orjson.loads(body)["activeRun"] is None:
                return
            await asyncio.sleep(0.1)
        self.problems.append("a run did not end")

    async def _whole_log(self, connection: Connection, session: str) -> None:
        """Read all events: numbered without a hole, and none left out."""
        expected, more = 1, True
        while more:
            path = f"/api/v1/sessions/{session}/events?after={expected - 1}&limit=1000"
            _, body = await ask(connection, self._target.request("GET", path))
            page = orjson.loads(body)
            for event in page["events"]:
                self._expect(event["event"] != "gap", "a gap in a log")
                self._expect(event["id"] == expected, "a hole in a log")
                expected = event["id"] + 1
            more = page["hasMore"] and bool(page["events"])
        self.counts["log events"] += expected - 1

    def _expect(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(problem)


async def _quiet(bench: Bench) -> Sight:
    """What the server looks like once nothing runs and nobody is connected."""
    connection = await connect(bench.ours)
    deadline = monotonic() + SETTLE_SECONDS
    while monotonic() < deadline:
        _, body = await ask(connection, bench.ours.request("GET", "/api/v1/health"))
        runs = orjson.loads(body)["runs"]
        if not runs["active"] and not runs["queued"]:
            break
        await asyncio.sleep(0.5)
    connection.close()
    await asyncio.sleep(2)
    return Sight.of(bench.pid)


async def _traffic(bench: Bench, clients: int, seconds: float, seed: int) -> Traffic:
    traffic, until = Traffic(bench.ours), monotonic() + seconds
    work = asyncio.gather(*(traffic.client(seed + n, until) for n in range(clients)))
    while not work.done():
        await asyncio.wait({work}, timeout=REPORT_SECONDS)
        say(f"{dict(traffic.counts)}; {Sight.of(bench.pid)}; {len(traffic.problems)} problems")
    await work
    return traffic


async def _soak(bench: Bench, clients: int, seconds: float) -> list[str]:
    warm_up = await _traffic(bench, clients, seconds * WARM_UP_SHARE, seed=0)
    before = await _quiet(bench)
    say(f"warm: {before}")
    traffic = await _traffic(bench, clients, seconds * (1 - WARM_UP_SHARE), seed=1000)
    after = await _quiet(bench)
    say(f"quiet again: {after}")
    problems = [
        f"{count} x {what}"
        for what, count in Counter(warm_up.problems + traffic.problems).most_common()
    ]
    for what, more, most in (
        ("bytes of memory", after.rss - before.rss, MORE_MEMORY),
        ("file descriptors", after.files - before.files, MORE_FILES),
        ("threads", after.threads - before.threads, MORE_THREADS),
    ):
        if more > most:
            problems.append(f"{more} more {what}")
    return problems + _complaints(bench)


def _complaints(bench: Bench) -> list[str]:
    """What the server wrote of things that went wrong inside."""
    lines = [line for line in bench.server.output if '"level":"error"' in line.replace(" ", "")]
    for line in lines[:5]:
        say(line.rstrip())
    return [f"{len(lines)} errors in the server's log"] if lines else []


def main(arguments: list[str] | None = None) -> int:
    """Soak; 0 when nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--clients", type=int, default=20)
    given = parser.parse_args(arguments)
    variables = {"LOG_LEVEL": "WARNING", "LOG_FORMAT": "json", "UPSTREAM_IDLE_TIMEOUT": "2"}
    with started(**variables) as bench:
        problems = uvloop.run(_soak(bench, given.clients, given.minutes * 60))
    for problem in problems:
        print(problem)
    print("FAILED" if problems else "PASSED")
    return 1 if problems else 0


if __name__ == "__main__":
    end_cleanly_on_sigterm()
    sys.exit(main())
