"""Folders of relays' sockets: those of the dead are removed, those of the living are not."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from sessions_app.engines.claude_code import socket_folders
from sessions_app.engines.claude_code.relay import Relay


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_what_a_killed_server_has_left_goes_when_another_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    relay, other = Relay(), Relay()
    living = (await relay.start()).parent
    dead, starting = socket_folders.make(), socket_folders.make()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(dead / socket_folders.SOCKET))

    started = (await other.start()).parent

    assert names_in(tmp_path) == {living.name, starting.name, started.name}
    await relay.aclose()
    await other.aclose()
    assert names_in(tmp_path) == {starting.name}
