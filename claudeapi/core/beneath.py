"""Folders that somebody else writes to, agents above all: never followed out of them.

An agent puts what it likes there, links included, and may do so while we look. So a path is
walked from a folder of ours down, one name at a time, each opened relative to the one before
and never through a link; and what counts is what was opened, not what it was called.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

Step = Callable[[str | Path, int | None], int]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_HELD = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def enter(name: str | Path, within: int | None = None) -> int:
    """Open a folder.

    Raises:
        OSError: there is none of this name; a link is none.
    """
    return os.open(name, _FOLDER, dir_fd=within)


def hold(name: str | Path, within: int | None = None) -> int:
    """Open a folder that we may not be allowed to read: a handle to compare and to go on from.

    Raises:
        OSError: there is none of this name; a link is none.
    """
    return os.open(name, _HELD, dir_fd=within)


def own(name: str | Path, within: int | None = None, rights: int = 0o700) -> int:
    """Open a folder that its owner, whose user we are, may have shut: it is opened to us.

    Raises:
        OSError: there is none of this name, or it is not ours.
    """
    held = hold(name, within)
    try:
        unlock(held, rights)
        return os.open(".", _FOLDER, dir_fd=held)
    finally:
        os.close(held)


def unlock(held: int, rights: int = 0o700) -> None:
    """Give ourselves rights to a folder of ours that has been opened."""
    mode = stat.S_IMODE(os.fstat(held).st_mode)
    if mode & rights != rights:
        os.chmod(f"/proc/self/fd/{held}", mode | rights)


def open_file(name: str, within: int) -> int:
    """Open a plain file for reading. Nothing else is one: no link, no pipe, no device.

    Raises:
        OSError: there is none of this name.
    """
    handle = os.open(name, _FILE, dir_fd=within)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(errno.ENOENT, "no plain file", name)
    return handle


def place(handle: int) -> Path:
    """Where an open folder really is, whatever path it was opened by."""
    return Path(os.readlink(f"/proc/self/fd/{handle}"))


def walk(root: Path, names: Sequence[str], step: Step = enter) -> int:
    """Open a folder below one of ours.

    Args:
        step: how each is opened, the root too: `enter`, or `own`.

    Raises:
        OSError: there is none; a link is none.
    """
    if any(name in ("", ".", "..") for name in names):
        raise FileNotFoundError(errno.ENOENT, "no name", *names)
    handle = step(root, None)
    for name in names:
        try:
            below = step(name, handle)
        finally:
            os.close(handle)
        handle = below
    return handle
