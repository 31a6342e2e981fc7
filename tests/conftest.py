"""What all tests share: the cast, a clean slate, and servers in processes of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from hypothesis import HealthCheck, settings

from tests.server_process import ServerProcess, copy_of, environment, manage

# A machine under load is slow, not wrong.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")

StartServer = Callable[..., ServerProcess]


def require(what: str, present: bool) -> None:
    """Skip without a service, unless the run says that services are required."""
    if present:
        return
    if os.environ.get("REQUIRE_SERVICES"):
        pytest.fail(f"{what} is required (REQUIRE_SERVICES) and missing")
    pytest.skip(f"{what} is missing")


def require_program(name: str) -> str:
    """The path of a program that a test needs."""
    path = shutil.which(name)
    require(name, path is not None)
    assert path is not None
    return path


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    """Counts of one test are not the next one's limits."""
    cache.clear()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a migrated SQLite database, to be copied."""
    data_dir = tmp_path_factory.mktemp("migrated")
    manage("migrate", "--verbosity", "0", env=environment(data_dir))
    return data_dir


@pytest.fixture
def start_server(migrated: Path, tmp_path: Path) -> Iterator[StartServer]:
    """Starts servers with an environment of their own: `start_server(PORT="…")`."""
    running: list[ServerProcess] = []

    def start(**variables: str) -> ServerProcess:
        data_dir = copy_of(migrated, tmp_path / f"server-{len(running)}")
        server = ServerProcess(environment(data_dir, **variables))
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="session")
def server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests that need nothing special of it."""
    data_dir = copy_of(migrated, tmp_path_factory.mktemp("server"))
    process = ServerProcess(environment(data_dir, RATE_LIMIT_MAX_REQUESTS="100000"))
    yield process
    process.stop()
