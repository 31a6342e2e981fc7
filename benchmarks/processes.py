"""The servers under measurement, as real processes, and what the kernel says of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from benchmarks.wire import Target
from simulator.testing import SimulatorProcess
from tests.server_process import ALICE, ServerProcess, environment, manage

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")
LOAD_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured: our server, and the upstream it asks."""

    server: ServerProcess
    simulator: SimulatorProcess

    @property
    def ours(self) -> Target:
        """Our server."""
        return Target(self.server.url, ALICE)

    @property
    def upstream(self) -> Target:
        """The simulator, asked directly."""
        return Target(self.simulator.url, "sk-bench")

    @property
    def pid(self) -> int:
        """Of our server."""
        return self.server.process.pid

    @property
    def upstream_pid(self) -> int:
        """Of the simulator."""
        return self.simulator.process.pid


def end_cleanly_on_sigterm() -> None:
    """Let a SIGTERM unwind us, so that the servers we have started end with us."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


@contextmanager
def started(**variables: str) -> Iterator[Bench]:
    """A simulator and a migrated server that asks it, both on free ports, for a while."""
    simulator = SimulatorProcess()
    try:
        with TemporaryDirectory(prefix="bench-") as folder:
            env = environment(
                Path(folder),
                SIMULATOR_URL=simulator.url,
                RATE_LIMIT_MAX_REQUESTS="100000000",
                MAX_SESSIONS="1000000",
                **variables,
            )
            manage("migrate", "--verbosity", "0", env=env)
            server = ServerProcess(env)
            try:
                yield Bench(server, simulator)
            finally:
                server.stop()
    finally:
        simulator.stop()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process, all its threads, past ones too, but not its children."""
    fields = _proc(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid: int) -> dict[str, int]:
    """`Rss` and `Pss` of a process, bytes."""
    rows = (line.split() for line in _proc(pid, "smaps_rollup").splitlines()[1:])
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}


def threads(pid: int) -> int:
    """How many threads a process has."""
    return int(_proc(pid, "stat").rpartition(")")[2].split()[17])


def open_files(pid: int) -> int:
    """How many file descriptors a process holds."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def descendants(pid: int) -> list[int]:
    """All processes that a process has started, and those they have."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            try:
                parent = int(_proc(int(entry), "stat").rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended meanwhile
            children.setdefault(parent, []).append(int(entry))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _proc(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/{name}").read_text()


class Load:
    """A load generator in its own process: prepared on entry, gone on exit."""

    def __init__(self, target: Target, work: str, *, direct: bool = False, **arguments: Any):
        task = {"url": target.url, "key": target.key, "work": work, "direct": direct, **arguments}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load", orjson.dumps(task).decode()],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Load:
        self._read("ready")
        return self

    def run(self) -> dict[str, Any]:
        """Let it do its work; what it reports."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        result: dict[str, Any] = orjson.loads(self._read("a result"))
        return result

    def _read(self, what: str) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator ended before it had {what}")
        return line

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def measured(pid: int, load: Load) -> tuple[dict[str, Any], float]:
    """What a load reports, and the CPU seconds that a process spent meanwhile."""
    before = cpu_seconds(pid)
    result = load.run()
    return result, cpu_seconds(pid) - before
