"""Tables, and what figures are worth nothing without: machine, command, versions."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PACKAGES = (
    *("django", "channels", "uvicorn", "uvloop", "anthropic", "httpx2", "aiohttp", "orjson"),
    "claude-agent-sdk",
)


@dataclass(frozen=True, slots=True)
class Table:
    """One part's figures; `notes` say how they came about."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: str = ""

    def markdown(self) -> str:
        """As a chapter."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"## {self.title}\n\n{table}\n" + (f"\n{self.notes}\n" if self.notes else "")


def head(command: str) -> str:
    """Where, when and how."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        "# Figures\n\n"
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · `{command}` · {_processor()}, "
        f"{os.cpu_count()} cores, {_memory()} GiB, {platform.system()} {platform.release()} · "
        f"load average at the start {os.getloadavg()[0]:.1f}\n\n"
        f"Python {platform.python_version()}, {versions}. SQLite, one worker, the simulator as "
        "upstream, all on this machine: servers and load share its cores. Medians of the repeats. "
        "Compare figures only within one run; on a busy machine times suffer more than ratios "
        "do.\n"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def median(values: Sequence[float]) -> float:
    """The median; 0 for none."""
    return statistics.median(values) if values else 0.0


def ratio(ours: float, theirs: float) -> str:
    """How many times as much."""
    return f"{ours / theirs:.2g} x" if theirs else "-"


def say(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)
