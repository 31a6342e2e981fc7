"""The cast of the API's tests: each with a fresh key, so that no test sees another's rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from pytest_django import DjangoDbBlocker

from tests.api.caller import Caller, ServerDatabase
from tests.conftest import require
from tests.server_process import ServerProcess, copy_of, environment, manage

ROOMY = {
    "DEFAULT_ENGINE": "messages",
    "RATE_LIMIT_MAX_REQUESTS": "100000",
    "MAX_SESSIONS": "100000",
}
POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgres://root@127.0.0.1:5432/test")

Issue = Callable[..., Caller]
Opened = Callable[[ServerProcess], ServerDatabase]


@pytest.fixture(scope="session")
def server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests that need nothing special of it; its sessions converse."""
    data_dir = copy_of(migrated, tmp_path_factory.mktemp("server"))
    process = ServerProcess(environment(data_dir, **ROOMY))
    yield process
    process.stop()


@pytest.fixture(scope="session")
def open_database(django_db_blocker: DjangoDbBlocker) -> Iterator[Opened]:
    """The database behind a server process."""
    opened: dict[str, ServerDatabase] = {}

    def open_one(server: ServerProcess) -> ServerDatabase:
        if server.url not in opened:
            url, folder = server.env.get("DATABASE_URL"), Path(server.env["DATA_DIR"])
            opened[server.url] = ServerDatabase(
                django_db_blocker, f"server_{uuid4().hex}", url, folder
            )
        return opened[server.url]

    yield open_one
    for one in opened.values():
        one.drop()


@pytest.fixture(scope="session")
def database(server: ServerProcess, open_database: Opened) -> ServerDatabase:
    return open_database(server)


@pytest.fixture
def issue(server: ServerProcess, database: ServerDatabase) -> Issue:
    """Somebody new, with a key as described: `issue("Bob", max_runs=1)`."""

    def make(name: str, **fields: object) -> Caller:
        key, text = database.issue(name, **fields)
        return Caller(server.url, text, key)

    return make


@pytest.fixture
def alice(issue: Issue) -> Caller:
    return issue("Alice")


@pytest.fixture
def bob(issue: Issue) -> Caller:
    return issue("Bob")


@pytest.fixture
def mallory(issue: Issue) -> Caller:
    return issue("Mallory")


@pytest.fixture
def nobody(server: ServerProcess) -> Caller:
    return Caller(server.url, None)


@pytest.fixture
def session(alice: Caller) -> str:
    """The path of a session of Alice's."""
    return alice.session()


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database, made for this and dropped after it."""
    try:
        admin = psycopg.connect(POSTGRES, connect_timeout=3, autocommit=True)
    except psycopg.OperationalError:
        require(f"PostgreSQL at {POSTGRES.rpartition('@')[2]}", False)
    name = f"api_{uuid4().hex}"
    url = f"{POSTGRES.rpartition('/')[0]}/{name}"
    admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        folder = tmp_path_factory.mktemp("postgresql")
        manage("migrate", "--verbosity", "0", env=environment(folder, DATABASE_URL=url))
        yield url
    finally:
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        admin.execute(drop)
        admin.close()


@pytest.fixture(scope="session")
def postgresql_server(
    postgresql: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """One server on PostgreSQL."""
    folder = tmp_path_factory.mktemp("on-postgresql")
    process = ServerProcess(environment(folder, DATABASE_URL=postgresql, **ROOMY))
    yield process
    process.stop()


@pytest.fixture(
    params=["server", pytest.param("postgresql_server", marks=pytest.mark.postgresql)],
    ids=["sqlite", "postgresql"],
)
def any_server(request: pytest.FixtureRequest) -> ServerProcess:
    """Both, one after the other."""
    found: ServerProcess = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def join(any_server: ServerProcess, open_database: Opened) -> Issue:
    """Somebody new on that server."""

    def make(name: str, **fields: object) -> Caller:
        key, text = open_database(any_server).issue(name, **fields)
        return Caller(any_server.url, text, key)

    return make
