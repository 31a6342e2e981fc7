"""Servers whose upstream is a simulator that the test can look into."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import redis
from django.utils import timezone

from keys_app.models import ApiKey
from sessions_app.models import Session
from simulator.testing import Probe, SimulatorProcess
from tests.conftest import require
from tests.server_process import BOB, ServerProcess, copy_of, environment, manage
from tests.streams.client import Api

POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql://root@127.0.0.1:5432")
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
USUAL = {"RATE_LIMIT_MAX_REQUESTS": "1000000", "DEFAULT_ENGINE": "messages"}


@pytest.fixture
def session(db: None) -> Session:
    """A session in this process's own database, without a server."""
    key = ApiKey.objects.create(name="Alice", secret_hash=uuid4().hex)
    later = timezone.now() + timedelta(hours=1)
    return Session.objects.create(
        key=key, engine="messages", model="m", timeout_ms=1000, expires_at=later
    )


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorProcess]:
    """One upstream for all of these tests."""
    process = SimulatorProcess()
    yield process
    process.stop()


@pytest.fixture
async def probe(simulator: SimulatorProcess) -> AsyncIterator[Probe]:
    """A look into the simulator's journal, empty at first."""
    async with Probe.client(simulator.url) as http:
        probe = Probe(simulator.url, http)
        await probe.until(lambda stats: stats["in_flight"] == 0)  # the test before may have left
        await probe.reset()
        yield probe


@pytest.fixture(scope="session")
def server(
    migrated: Path, simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """The server of all tests that do it no harm."""
    data_dir = copy_of(migrated, tmp_path_factory.mktemp("server"))
    process = ServerProcess(environment(data_dir, SIMULATOR_URL=simulator.url, **USUAL))
    yield process
    process.stop()


@pytest.fixture
async def api(server: ServerProcess) -> AsyncIterator[Api]:
    """Alice."""
    async with Api(server.url) as client:
        yield client


@pytest.fixture
async def bob(server: ServerProcess) -> AsyncIterator[Api]:
    """Bob."""
    async with Api(server.url, BOB) as client:
        yield client


@pytest.fixture(scope="session")
def redis_url() -> str:
    """A Redis that is there."""
    try:
        with closing(redis.Redis.from_url(REDIS, socket_connect_timeout=3)) as client:
            present = bool(client.ping())
    except redis.RedisError:
        present = False
    require("Redis", present)
    return REDIS


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A migrated PostgreSQL database of its own."""
    name = f"claudeapi_streams_{uuid4().hex[:12]}"
    try:
        admin = psycopg.connect(f"{POSTGRESQL}/postgres", autocommit=True, connect_timeout=3)
    except psycopg.OperationalError:
        require("PostgreSQL", False)
        return
    with admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{POSTGRESQL}/{name}"
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
            admin.close()


@pytest.fixture(scope="session")
def shared(
    postgresql_url: str,
    redis_url: str,
    simulator: SimulatorProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """The environment of several servers on one database."""
    data_dir = tmp_path_factory.mktemp("cluster")
    env = environment(
        data_dir,
        DATABASE_URL=postgresql_url,
        REDIS_URL=redis_url,
        SIMULATOR_URL=simulator.url,
        **USUAL,
    )
    manage("migrate", "--verbosity", "0", env=env)
    return env


@pytest.fixture(scope="session")
def pair(shared: dict[str, str]) -> Iterator[tuple[ServerProcess, ServerProcess]]:
    """Two servers on one PostgreSQL database and one Redis."""
    first, second = ServerProcess(shared), ServerProcess(shared)
    yield first, second
    first.stop()
    second.stop()
