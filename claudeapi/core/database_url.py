"""From a `DATABASE_URL` to Django's `DATABASES` entry."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

SQLITE_BUSY_SECONDS = 20


def database(url: str | None, data_dir: Path, pool_size: int) -> dict[str, Any]:
    """The settings of the default database.

    Args:
        url: `sqlite:///PATH` or `postgres://…`; None is SQLite in `data_dir`.
        data_dir: where that file goes.
        pool_size: the most PostgreSQL connections of this process.

    Raises:
        ValueError: it is no such URL. Its text may hold a part of the password.
    """
    if url is None:
        return sqlite(data_dir / "db.sqlite3")
    match url.partition("://")[0]:
        case "sqlite":
            return sqlite(_file(url))
        case "postgres" | "postgresql":
            return postgresql(url, pool_size)
    raise ValueError("neither SQLite nor PostgreSQL")


def _file(url: str) -> Path:
    """The path in `sqlite:///PATH`; memory is no place for a server of several threads."""
    parts = urlsplit(url)
    path = unquote(parts.path).removeprefix("/")
    if parts.netloc or path in ("", ":memory:"):
        raise ValueError("not the path of a file")
    return Path(path)


def sqlite(path: Path) -> dict[str, Any]:
    """SQLite as it bears several writers: WAL, and write locks taken at the start."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(path.absolute()),
        "OPTIONS": {
            "timeout": SQLITE_BUSY_SECONDS,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
        },
    }


def postgresql(url: str, pool_size: int) -> dict[str, Any]:
    """PostgreSQL through psycopg's pool; what follows `?` goes to the driver."""
    parts = urlsplit(url)
    parameters = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.removeprefix("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parameters.pop("host", unquote(parts.hostname or "")),
        "PORT": parameters.pop("port", str(parts.port or "")),
        # A thread a request: a kept connection would never be used again. The pool keeps them.
        "CONN_MAX_AGE": 0,
        "OPTIONS": {
            **parameters,
            "pool": {"min_size": 0, "max_size": pool_size, "timeout": 10},
        },
    }
