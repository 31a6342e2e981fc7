"""Where a process id means something: on one boot of one machine, in one namespace of ids."""

from __future__ import annotations

import os
from pathlib import Path


def _identity() -> str:
    # Host names will not do: containers and machines made from one image share theirs.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


IDENTITY: str = _identity()
"""The same for processes that see each other's ids; empty where the system does not say."""


def has_lost(identity: str, pid: int) -> bool:
    """Whether it is certain that this process, there, has ended."""
    if not IDENTITY or identity != IDENTITY:
        return False
    if pid == os.getpid():
        return True  # an earlier process had our number
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
