"""Whole folders of somebody else's: written to, weighed, copied and removed.

All of it by `beneath`: never through a link, whatever happens there meanwhile. What its owner
has shut is opened, for the owner is an agent and its user ours.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

from claudeapi.core import beneath

MAX_LEVELS = 100
ENTRY_BYTES = 512
"""What a file takes beside its content: many empty ones are something, too."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE = (FileNotFoundError, NotADirectoryError)
_READ = 0o500


class TooMuch(Exception):
    """There is more in a folder than there may be: bytes, or levels."""


@contextmanager
def written(root: Path, names: Sequence[str]) -> Iterator[IO[bytes]]:
    """A new file below a folder of ours. Whatever is in its way, link or folder, is removed."""
    *above, name = names
    handle = beneath.walk(root, above, _made)
    try:
        remove(name, handle)
        with os.fdopen(os.open(name, _NEW, 0o600, dir_fd=handle), "wb") as file:
            yield file
    finally:
        os.close(handle)


def _made(name: str | Path, within: int | None) -> int:
    try:
        return beneath.own(name, within)
    except _GONE:
        remove(name, within)
        os.mkdir(name, 0o700, dir_fd=within)
        return beneath.own(name, within)


def size(folders: Iterable[Path], limit: int) -> int:
    """Bytes on disk in folders of ours; counted no further than just over the limit.

    What is too deep to be counted, or cannot be, is over any limit.
    """
    tally = _Tally(limit)
    try:
        for folder in folders:
            _weigh(folder, None, tally, 0)
    except TooMuch:
        return tally.bytes
    except OSError:
        return limit + 1
    return tally.bytes


class _Tally:
    def __init__(self, limit: int) -> None:
        self.bytes = 0
        self._limit = limit

    def add(self, more: int) -> None:
        self.bytes += more
        if self.bytes > self._limit:
            raise TooMuch

    def descend(self, level: int) -> None:
        if level > MAX_LEVELS:
            self.add(self._limit + 1)


def _weigh(name: str | Path, within: int | None, tally: _Tally, level: int) -> None:
    """Count what is in a folder; nothing, where there is no such folder any more."""
    tally.descend(level)
    with suppress(*_GONE), _owned(name, within, _READ) as handle:
        folders = []
        for below, facts in _entries(handle):
            tally.add(facts.st_blocks * 512 + ENTRY_BYTES)
            if stat.S_ISDIR(facts.st_mode):
                folders.append(below)
        for below in folders:
            _weigh(below, handle, tally, level + 1)


def _entries(handle: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(handle) as entries:
        for entry in entries:
            try:
                yield entry.name, entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # removed while we looked


def copy(source: int, target: int, limit: int) -> None:
    """Copy what is in one open folder to another: files, folders, and links as links.

    Pipes, sockets and what cannot be read are left out.

    Raises:
        TooMuch: it is more than the limit.
    """
    _copy(source, target, _Tally(limit), 0)


def _copy(source: int, target: int, tally: _Tally, level: int) -> None:
    tally.descend(level)
    folders = []
    for name, facts in _entries(source):
        tally.add(ENTRY_BYTES)
        if stat.S_ISDIR(facts.st_mode):
            folders.append(name)
        elif stat.S_ISLNK(facts.st_mode):
            _copy_link(name, source, target)
        elif stat.S_ISREG(facts.st_mode):
            _copy_file(name, source, target, tally)
    for name in folders:
        _copy_folder(name, source, target, tally, level)


def _copy_folder(name: str, source: int, target: int, tally: _Tally, level: int) -> None:
    with suppress(*_GONE), _owned(name, source, _READ) as below:
        os.mkdir(name, 0o700, dir_fd=target)
        with _owned(name, target) as into:
            _copy(below, into, tally, level + 1)
            os.fchmod(into, stat.S_IMODE(os.fstat(below).st_mode) & 0o777)


def _copy_link(name: str, source: int, target: int) -> None:
    try:
        leads_to = os.readlink(name, dir_fd=source)
    except OSError:
        return  # it is no link any more
    os.symlink(leads_to, name, dir_fd=target)


def _copy_file(name: str, source: int, target: int, tally: _Tally) -> None:
    try:
        content = beneath.open_file(name, source)
    except OSError:
        return
    try:
        facts = os.fstat(content)
        tally.add(facts.st_size)
        into = os.open(name, _NEW, 0o600, dir_fd=target)
        try:
            done = 0
            while done < facts.st_size:  # no further: it may grow as fast as we copy
                sent = os.sendfile(into, content, done, facts.st_size - done)
                if sent == 0:
                    break
                done += sent
            os.fchmod(into, stat.S_IMODE(facts.st_mode) & 0o777)
            os.utime(into, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        finally:
            os.close(into)
    finally:
        os.close(content)


def remove(name: str | Path, within: int | None = None) -> None:
    """Delete whatever has this name with all that is in it, however deep and however shut.

    Raises:
        OSError: something of it cannot be removed.
    """
    try:
        if not _unlinked(name, within):
            with _owned(name, within) as handle:
                _empty(handle)
            os.rmdir(name, dir_fd=within)
    except FileNotFoundError:
        return  # somebody else removes it


def remove_below(root: Path, names: Sequence[str]) -> None:
    """Delete what is there below a folder of ours, if it is.

    Raises:
        OSError: something of it cannot be removed.
    """
    *above, name = names
    try:
        handle = beneath.walk(root, above)
    except _GONE:
        return
    try:
        remove(name, handle)
    finally:
        os.close(handle)


def _unlinked(name: str | Path, within: int | None) -> bool:
    """Remove what is no folder; False for what is one."""
    try:
        os.unlink(name, dir_fd=within)
    except IsADirectoryError:
        return False
    return True


@contextmanager
def _owned(name: str | Path, within: int | None, rights: int = 0o700) -> Iterator[int]:
    handle = beneath.own(name, within, rights)
    try:
        yield handle
    finally:
        os.close(handle)


def _empty(top: int) -> None:
    """Folders are moved to the top before they are emptied, so that few handles are enough."""
    while names := os.listdir(top):
        for name in names:
            if not _unlinked(name, top):
                with _owned(name, top) as below:
                    _lift(below, top)
                os.rmdir(name, dir_fd=top)


def _lift(below: int, top: int) -> None:
    for name in os.listdir(below):
        if not _unlinked(name, below):
            with _owned(name, below):  # only what may be written to can be moved
                os.rename(name, uuid4().hex, src_dir_fd=below, dst_dir_fd=top)
