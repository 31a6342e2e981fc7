"""How much memory new processes may take: the machine's, or less where a control group bounds it.

Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def available(root: Path = Path("/")) -> int | None:
    """Bytes; None where the system does not say.

    Args:
        root: where `proc` and `sys` are.
    """
    room = [*_of_machine(root), *_of_control_groups(root)]
    return min(room, default=None)


def _of_machine(root: Path) -> Iterator[int]:
    value = _fields(root / "proc/meminfo").get("MemAvailable:")
    if value is not None:
        yield value * 1024


def _of_control_groups(root: Path) -> Iterator[int]:
    """What is left in our group and in each above it. Cache of files is given back at need."""
    mounted = root / "sys/fs/cgroup"
    place = _text(root / "proc/self/cgroup").strip().rpartition("0::")[2].lstrip("/")
    group = mounted / place
    for folder in (group, *group.parents):
        if not folder.is_relative_to(mounted):
            return
        limit, used = _text(folder / "memory.max"), _text(folder / "memory.current")
        if limit.strip().isdecimal() and used.strip().isdecimal():
            cache = _fields(folder / "memory.stat").get("inactive_file", 0)
            yield max(0, int(limit) - int(used) + cache)


def _fields(file: Path) -> dict[str, int]:
    rows = (line.split() for line in _text(file).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) > 1 and row[1].isdecimal()}


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
