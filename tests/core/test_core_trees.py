"""Mallory owns a folder, and we work in it: written to, weighed, copied, removed."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from claudeapi.core import beneath, trees
from tests.rights import as_a_common_user

PLENTY = 1 << 30


@pytest.fixture
def common_user() -> Iterator[None]:
    with as_a_common_user():
        yield


@pytest.fixture
def mallorys(tmp_path: Path) -> Path:
    folder = tmp_path / "mallorys"
    folder.mkdir()
    return folder


@pytest.fixture
def servers(tmp_path: Path) -> Path:
    """A folder of the server's, with a file in it."""
    folder = tmp_path / "servers"
    folder.mkdir()
    (folder / "db").write_text("precious")
    return folder


def write(root: Path, *names: str) -> None:
    with trees.written(root, names) as file:
        file.write(b"ours")


def copy(source: Path, target: Path, limit: int = PLENTY) -> None:
    here, there = beneath.enter(source), beneath.enter(target)
    try:
        trees.copy(here, there, limit)
    finally:
        os.close(here)
        os.close(there)


def nested(folder: Path, levels: int) -> None:
    """Folders in folders, deeper than a path can say."""
    handle = beneath.enter(folder)
    for _ in range(levels):
        os.mkdir("d", dir_fd=handle)
        below = beneath.enter("d", handle)
        os.close(handle)
        handle = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)


def test_what_is_written_does_not_follow_links(mallorys: Path, servers: Path) -> None:
    (mallorys / "direct").symlink_to(servers / "db")
    (mallorys / "folder").symlink_to(servers)
    os.link(servers / "db", mallorys / "hard")

    for names in (("direct",), ("folder", "db"), ("hard",)):
        write(mallorys, *names)
        assert mallorys.joinpath(*names).read_bytes() == b"ours"

    assert (servers / "db").read_text() == "precious"


@pytest.mark.usefixtures("common_user")
def test_what_is_written_takes_the_place_of_whatever_is_in_the_way(mallorys: Path) -> None:
    (mallorys / "a" / "b" / "c").mkdir(parents=True)
    (mallorys / "file").write_text("")
    (mallorys / "a").chmod(0o500)

    write(mallorys, "a", "b")
    write(mallorys, "file", "below")

    assert (mallorys / "a" / "b").read_bytes() == b"ours"
    assert (mallorys / "file" / "below").read_bytes() == b"ours"


def test_a_copy_has_files_folders_and_links_and_leaves_out_what_would_block(
    mallorys: Path, servers: Path, tmp_path: Path
) -> None:
    (mallorys / "src").mkdir()
    (mallorys / "src" / "run").write_text("kettle")
    (mallorys / "src" / "run").chmod(0o755)
    os.utime(mallorys / "src" / "run", (1, 2))
    (mallorys / "link").symlink_to(servers)
    os.mkfifo(mallorys / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(mallorys / "socket"))
    (tmp_path / "copy").mkdir()

    copy(mallorys, tmp_path / "copy")

    copied = tmp_path / "copy" / "src" / "run"
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["link", "src"]
    assert copied.read_text() == "kettle"
    assert (copied.stat().st_mode & 0o777, copied.stat().st_mtime) == (0o755, 2)
    assert (tmp_path / "copy" / "link").readlink() == servers


@pytest.mark.usefixtures("common_user")
def test_a_copy_has_what_its_owner_has_shut_but_for_files(mallorys: Path, tmp_path: Path) -> None:
    (mallorys / "shut").mkdir()
    (mallorys / "shut" / "file").write_text("kettle")
    (mallorys / "unreadable").write_text("x")
    (mallorys / "unreadable").chmod(0)
    (mallorys / "shut").chmod(0)
    (tmp_path / "copy").mkdir()

    copy(mallorys, tmp_path / "copy")

    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["shut"]
    assert (tmp_path / "copy" / "shut" / "file").read_text() == "kettle"


def test_a_copy_never_holds_what_a_racing_link_leads_to(
    mallorys: Path, servers: Path, tmp_path: Path
) -> None:
    (mallorys / "folder").mkdir()
    (mallorys / "folder" / "db").write_text("mine")
    (mallorys / "link").symlink_to(servers)
    stop = threading.Event()

    def swap() -> None:
        libc = ctypes.CDLL(None)
        here = os.fsencode(mallorys)
        while not stop.is_set():  # RENAME_EXCHANGE: now it is a folder, now a link
            libc.renameat2(-100, here + b"/folder", -100, here + b"/link", 2)

    racing = threading.Thread(target=swap)
    racing.start()
    try:
        for number in range(300):
            target = tmp_path / f"copy-{number}"
            target.mkdir()
            copy(mallorys, target)
            assert b"precious" not in [path.read_bytes() for path in files_in(target)]
    finally:
        stop.set()
        racing.join()


def files_in(folder: Path) -> list[Path]:
    """Plain files, without following links."""
    return [
        Path(place, name)
        for place, _, names in os.walk(folder)
        for name in names
        if not Path(place, name).is_symlink()
    ]


@pytest.mark.parametrize("what", ["bytes", "levels", "files"])
def test_a_copy_ends_where_it_is_too_much(mallorys: Path, tmp_path: Path, what: str) -> None:
    if what == "bytes":
        (mallorys / "sparse").touch()
        os.truncate(mallorys / "sparse", 1 << 40)
    elif what == "levels":
        nested(mallorys, trees.MAX_LEVELS + 1)
    for number in range(600 if what == "files" else 0):
        (mallorys / str(number)).touch()
    (tmp_path / "copy").mkdir()

    with pytest.raises(trees.TooMuch):
        copy(mallorys, tmp_path / "copy", 300_000 if what == "files" else PLENTY)


@pytest.mark.usefixtures("common_user")
def test_what_its_owner_has_shut_is_weighed(mallorys: Path) -> None:
    (mallorys / "shut").mkdir()
    (mallorys / "shut" / "file").write_bytes(b"x" * 1_000_000)
    (mallorys / "shut").chmod(0)

    assert 1_000_000 <= trees.size([mallorys], PLENTY) < 1_100_000


def test_what_is_too_deep_to_be_weighed_is_over_any_limit(mallorys: Path, servers: Path) -> None:
    (mallorys / "link").symlink_to(servers)
    assert trees.size([mallorys, mallorys / "none", mallorys / "link"], PLENTY) < 10_000

    nested(mallorys, trees.MAX_LEVELS + 1)

    assert trees.size([mallorys], PLENTY) > PLENTY


@pytest.mark.usefixtures("common_user")
def test_everything_is_removed_however_deep_and_however_shut(mallorys: Path, servers: Path) -> None:
    nested(mallorys, 1_100)  # Python itself goes no deeper than 1000
    (mallorys / "shut" / "below" / "more").mkdir(parents=True)
    (mallorys / "link").symlink_to(servers)
    for folder in (mallorys / "shut" / "below", mallorys / "shut", mallorys):
        folder.chmod(0)

    trees.remove(mallorys)

    assert not mallorys.exists()
    assert (servers / "db").read_text() == "precious"


def test_a_link_in_a_folders_place_is_removed_and_not_what_it_leads_to(
    mallorys: Path, servers: Path
) -> None:
    (mallorys / "link").symlink_to(servers)

    trees.remove(mallorys / "link")
    trees.remove(mallorys / "link")  # it is gone: no error

    assert not (mallorys / "link").is_symlink()
    assert (servers / "db").exists()
