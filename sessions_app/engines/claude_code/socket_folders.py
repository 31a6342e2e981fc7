"""The short folders for relays' sockets, and what servers that were killed have left of them."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "capi-"
SOCKET = "s"


def make() -> Path:
    """A folder of our own, 0700, with a name so short that a socket's path fits."""
    _sweep(Path(tempfile.gettempdir()))
    return Path(tempfile.mkdtemp(prefix=PREFIX))


def _sweep(temp: Path) -> None:
    """Remove those whose server is gone: nobody listens at their socket any more."""
    for folder in temp.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if folder.lstat().st_uid == os.geteuid() and _is_left(folder / SOCKET):
                shutil.rmtree(folder)


def _is_left(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(str(place))
        except ConnectionRefusedError:
            return True
    return False
