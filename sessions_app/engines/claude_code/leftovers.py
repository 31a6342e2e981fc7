"""What tools have left running: it ends with the run that it was started in."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import NamedTuple

PATIENCE = 0.5
"""Seconds: who starts others faster than we end them goes with its agent."""

_PAUSE = 0.005


class Member(NamedTuple):
    """A process, and no later one of the same number.

    Attributes:
        begun: ticks since the machine's start.
    """

    pid: int
    begun: int


def descendants(pid: int) -> frozenset[Member]:
    """All living processes below one: what detaches itself stays below the outermost."""
    found: set[Member] = set()
    ahead = [pid]
    while ahead:
        for child in _children(ahead.pop()):
            ahead.append(child)
            begun = _begun(child)
            if begun is not None:
                found.add(Member(child, begun))
    return frozenset(found)


def end(outermost: int, kept: frozenset[Member]) -> bool:
    """Kill all processes below one, but for those kept. Takes `PATIENCE` at most.

    Returns:
        Whether all are gone.
    """
    deadline, clean = time.monotonic() + PATIENCE, 0
    while clean < 2:  # one that ends while we look can hide another
        left = descendants(outermost) - kept
        clean = 0 if left else clean + 1
        for member in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(member.pid, signal.SIGKILL)
        if left:
            if time.monotonic() > deadline:
                return False
            time.sleep(_PAUSE)
    return True


def _children(pid: int) -> list[int]:
    """A child is that of the thread that started it."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children") as file:
                found.extend(map(int, file.read().split()))
    return found


def _begun(pid: int) -> int | None:
    """When a process began; None for one that has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, *facts = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    threads, begun = int(facts[16]), int(facts[18])
    over = state in b"ZX" and threads < 2  # a first thread may end before the others
    return None if over else begun
