"""The files of a session's private workspace: looked at and fetched, never followed out of it.

An agent writes what it likes there, links included: see `claudeapi.core.beneath`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from claudeapi.core import beneath

MAX_ENTRIES = 1_000
MAX_SHOWN_BYTES = 256 * 1024
MAX_DEPTH = 64


class NoSuchFile(Exception):
    """There is nothing there that may be looked at."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file, a folder, or something else that is only named: `kind` is `file`, `folder`,
    `link` or `other`.
    """

    name: str
    path: str
    kind: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a folder; `is_cut` when there is more than is shown."""

    entries: list[Found]
    is_cut: bool = False


def listing(root: Path, path: str) -> Listing:
    """What is in a folder of the workspace, folders first.

    Raises:
        NoSuchFile: there is no such folder in it.
    """
    found: list[Found] = []
    with _folder(root, _names(path)) as handle, os.scandir(handle) as entries:
        for entry in entries:
            if len(found) >= MAX_ENTRIES:
                return Listing(_sorted(found), True)
            with suppress(FileNotFoundError):  # removed while we looked
                facts = os.stat(entry.name, dir_fd=handle, follow_symlinks=False)
                found.append(_entry(path, entry.name, facts))
    return Listing(_sorted(found))


@contextmanager
def opened(root: Path, path: str) -> Iterator[tuple[int, os.stat_result]]:
    """An open file of the workspace: its descriptor, and what is known of it.

    Raises:
        NoSuchFile: there is no such file in it, or it is no plain file.
    """
    *above, name = _names(path) or [""]
    if not name:
        raise NoSuchFile
    with _folder(root, above) as folder:
        try:
            handle = beneath.open_file(name, folder)
        except (OSError, ValueError) as error:
            raise NoSuchFile from error
    try:
        yield handle, os.fstat(handle)
    finally:
        os.close(handle)


def beginning(root: Path, path: str) -> tuple[bytes, int]:
    """The first part of a file, and its size.

    Raises:
        NoSuchFile: see `opened`.
    """
    with opened(root, path) as (handle, facts):
        return os.read(handle, MAX_SHOWN_BYTES), facts.st_size


def text_of(content: bytes) -> str | None:
    """The text in it, or None for what is no text."""
    if b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        # A character may have been cut in two at the end.
        return content[: error.start].decode() if error.start >= len(content) - 3 else None


@contextmanager
def _folder(root: Path, names: list[str]) -> Iterator[int]:
    try:
        handle = beneath.walk(root, names)
    except (OSError, ValueError) as error:
        raise NoSuchFile from error
    try:
        yield handle
    finally:
        os.close(handle)


def _names(path: str) -> list[str]:
    names = [name for name in path.split("/") if name]
    if len(names) > MAX_DEPTH or any(name in (".", "..") or "\0" in name for name in names):
        raise NoSuchFile
    return names


def _entry(path: str, name: str, facts: os.stat_result) -> Found:
    mode = facts.st_mode
    kind = "other"
    if stat.S_ISREG(mode):
        kind = "file"
    elif stat.S_ISDIR(mode):
        kind = "folder"
    elif stat.S_ISLNK(mode):
        kind = "link"
    whole = "/".join([*_names(path), name])
    if any("\ud800" <= character <= "\udfff" for character in name):
        kind = "other"  # a name that is no text cannot be asked for
    return Found(name, whole, kind, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))


def _sorted(found: list[Found]) -> list[Found]:
    return sorted(found, key=lambda entry: (entry.kind != "folder", entry.name.casefold()))
