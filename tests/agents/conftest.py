"""Agents behind the API: the real CLI in its sandbox, the simulator, servers as users run them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from sessions_app.engines.claude_code.probe import find_cli
from simulator.testing import SimulatorProcess
from tests.agents.cast import Opened
from tests.api.caller import Caller, ServerDatabase
from tests.conftest import require, require_program
from tests.server_process import ServerProcess, copy_of, environment

Issue = Callable[..., Caller]
Serve = Callable[..., ServerProcess]


@pytest.fixture(scope="session", autouse=True)
def _programs() -> None:
    require("the Claude Code CLI", find_cli() is not None)
    require_program("bwrap")


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorProcess]:
    """One upstream for all of these tests."""
    process = SimulatorProcess()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def usual(simulator: SimulatorProcess) -> dict[str, str]:
    """What every server of these tests is started with."""
    return {
        "DEFAULT_ENGINE": "claude-code",
        "SIMULATOR_URL": simulator.url,
        "CLAUDE_SANDBOX": "required",
        "RATE_LIMIT_MAX_REQUESTS": "100000",
    }


@pytest.fixture(scope="session")
def server(
    migrated: Path, usual: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """One server for all tests that do it no harm."""
    data_dir = copy_of(migrated, tmp_path_factory.mktemp("server"))
    process = ServerProcess(environment(data_dir, **usual))
    yield process
    process.stop()


@pytest.fixture
def serve(migrated: Path, usual: dict[str, str], tmp_path: Path) -> Iterator[Serve]:
    """Starts servers: on a data folder of their own, or again on that of an earlier one."""
    running: list[ServerProcess] = []

    def start(after: ServerProcess | None = None, **variables: str) -> ServerProcess:
        if after is None:
            data_dir = copy_of(migrated, tmp_path / f"server-{len(running)}")
            env = environment(data_dir, **{**usual, **variables})
        else:
            env = {**after.env, **variables}
        running.append(ServerProcess(env))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture(scope="session")
def open_database(django_db_blocker: DjangoDbBlocker) -> Iterator[Opened]:
    """The database behind a server process."""
    opened: dict[str, ServerDatabase] = {}

    def open_one(server: ServerProcess) -> ServerDatabase:
        folder = server.env["DATA_DIR"]
        if folder not in opened:
            url = server.env.get("DATABASE_URL")
            alias = f"agents_{len(opened)}"
            opened[folder] = ServerDatabase(django_db_blocker, alias, url, Path(folder))
        return opened[folder]

    yield open_one
    for one in opened.values():
        one.drop()


@pytest.fixture
def issue(server: ServerProcess, open_database: Opened) -> Issue:
    """Somebody new, with a key as described: `issue("Bob", models=["claude-haiku-*"])`."""

    def make(name: str, server: ServerProcess = server, **fields: object) -> Caller:
        key, text = open_database(server).issue(name, **fields)
        return Caller(server.url, text, key)

    return make


@pytest.fixture
def alice(issue: Issue) -> Caller:
    return issue("Alice")


@pytest.fixture
def mallory(issue: Issue) -> Caller:
    return issue("Mallory")
