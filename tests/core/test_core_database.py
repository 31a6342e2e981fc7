"""Database work off the event loop, and where the database is."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection

from claudeapi.core import database as core_database
from claudeapi.core.database import close_connections, in_db, waiting_out
from claudeapi.core.database_url import database

name: ContextVar[str] = ContextVar("name", default="")


def connection_id() -> int:
    connection.ensure_connection()
    return id(connection.connection)


@pytest.mark.django_db(transaction=True)
async def test_a_few_long_lived_threads_do_all_the_work() -> None:
    threads = await asyncio.gather(*(in_db(threading.current_thread) for _ in range(50)))
    assert len(set(threads)) <= 4
    assert all(thread.name.startswith("db") for thread in threads)


@pytest.mark.django_db(transaction=True)
async def test_the_callers_context_is_seen_and_errors_come_back() -> None:
    name.set("alice")
    assert await in_db(name.get) == "alice"
    with pytest.raises(ZeroDivisionError):
        await in_db(divmod, 1, 0)


@pytest.mark.django_db(transaction=True)
async def test_a_connection_left_in_a_transaction_is_not_used_again() -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL's go back to the pool after every call")

    def leave_open() -> None:
        connection.set_autocommit(False)

    await in_db(leave_open)
    states = await asyncio.gather(*(in_db(connection.get_autocommit) for _ in range(8)))
    assert all(states)
    await close_connections()


@pytest.mark.django_db(transaction=True)
async def test_it_works_from_any_event_loop() -> None:
    assert await asyncio.to_thread(asyncio.run, in_db(sum, [1, 2])) == 3


@pytest.mark.parametrize("trouble", [OperationalError, InterfaceError])
async def test_a_database_in_trouble_is_waited_for_as_long_as_was_said(
    trouble: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_database, "RETRY_SECONDS", 0)
    troubles = iter([trouble("the database is restarting")] * 5)

    async def work() -> str:
        if error := next(troubles, None):
            raise error
        return "done"

    assert await waiting_out(60, work) == "done"
    troubles = iter([trouble("it stays away")] * 2)
    with pytest.raises(trouble):
        await waiting_out(-1, work)
    assert len(list(troubles)) == 1
    troubles = iter([ValueError("no trouble of the database's")])
    with pytest.raises(ValueError, match="no trouble"):
        await waiting_out(60, work)


def test_sqlite_in_the_data_folder_is_the_default(tmp_path: Path) -> None:
    found = database(None, tmp_path, 10)
    assert found["NAME"] == str(tmp_path / "db.sqlite3")
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:////data/a%20b.db", {"NAME": "/data/a b.db"}),
        (
            "postgres://al%40ce:p%2Fw@db.example:5433/main?sslmode=require",
            {"NAME": "main", "USER": "al@ce", "PASSWORD": "p/w", "HOST": "db.example",
             "PORT": "5433", "CONN_MAX_AGE": 0},
        ),
        ("postgresql:///main?host=/run/pg", {"NAME": "main", "HOST": "/run/pg", "PORT": ""}),
    ],
)  # fmt: skip
def test_a_database_url(url: str, expected: dict[str, Any], tmp_path: Path) -> None:
    found = database(url, tmp_path, 7)
    assert {key: found[key] for key in expected} == expected
    if url.startswith("postgres"):
        assert found["OPTIONS"]["pool"]["max_size"] == 7
        assert ("sslmode" in found["OPTIONS"]) is ("sslmode" in url)
        assert "host" not in found["OPTIONS"]
