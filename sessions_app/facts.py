"""What this process holds now, for its row of `ServerProcess`: whoever shows it adds up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sessions_app import metrics
from sessions_app.engines import registry
from sessions_app.runner import runner
from sessions_app.streaming.watch import open_streams

_PROC = Path("/proc")


def held() -> dict[str, Any]:
    """Streams of clients (not of staff), runs and agents of this process. In the event loop."""
    pids = registry.agent_pids()
    return {
        "streams": metrics.streams_open(),
        "streamsByKey": open_streams(),
        "runs": runner.running,
        "agents": len(pids),
        "pids": pids,
    }


def with_memory(found: dict[str, Any]) -> dict[str, Any]:
    """The same with bytes of memory, the agents' with all that they have started. Reads /proc."""
    pids = found.pop("pids")
    sizes = _sizes_by_tree(set(pids)) if pids else 0
    return {**found, "memory": _resident(os.getpid()), "agentsMemory": sizes}


def _resident(pid: int) -> int:
    """Bytes; 0 for a process that is gone, and where there is no /proc."""
    try:
        pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _sizes_by_tree(roots: set[int]) -> int:
    parents = {int(p.name): _parent(p) for p in _PROC.glob("[0-9]*")} if _PROC.is_dir() else {}
    total = 0
    for pid in parents:
        seen = pid
        while seen in parents and seen not in roots:
            seen = parents[seen]
        if seen in roots:
            total += _resident(pid)
    return total


def _parent(process: Path) -> int:
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0
