"""The key that signs the admin's cookies: made once, kept beside the data."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

FILE = "secret_key"


def made() -> str:
    """A new key."""
    return secrets.token_urlsafe(64)


def kept_in(data_dir: Path) -> str:
    """The key in `data_dir/secret_key`, made if there is none yet.

    Processes that start at the same moment agree on one: the file appears whole, under its
    name, or not at all.

    Raises:
        OSError: the folder or the file can be neither read nor made.
    """
    path = data_dir / FILE
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        data_dir.mkdir(0o700, parents=True, exist_ok=True)
    # Made with mode 0600, as all temporary files are.
    with NamedTemporaryFile("w", dir=data_dir, prefix=".secret_key-") as fresh:
        fresh.write(made())
        fresh.flush()
        with suppress(FileExistsError):
            os.link(fresh.name, path)
    return path.read_text().strip()
