"""The same tests of races once more on PostgreSQL, in a test run of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.conftest import require

pytestmark = pytest.mark.slow

SERVER = os.environ.get("TEST_POSTGRES_URL", "postgres://root@127.0.0.1:5432/test")
HERE = Path(__file__).parent
FILES = (
    "test_key_budgets.py",
    "test_key_environment.py",
    "test_key_transitions.py",
    "test_key_commands.py",
)


@pytest.fixture
def database_url() -> str:
    try:
        psycopg.connect(SERVER, connect_timeout=3).close()
        present = True
    except psycopg.OperationalError:
        present = False
    require(f"PostgreSQL at {SERVER.rpartition('@')[2]}", present)
    # A database of this run's own, which Django makes and removes.
    return f"{SERVER.rpartition('/')[0]}/keys_{os.getpid()}"


@pytest.mark.postgresql
@pytest.mark.slow
def test_nothing_is_lost_in_races_on_postgresql(
    database_url: str, request: pytest.FixtureRequest
) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0"]
    if request.config.inipath:
        command += ["-c", str(request.config.inipath)]
    run = subprocess.run(
        [*command, *(str(HERE / name) for name in FILES)],
        env={**os.environ, "DATABASE_URL": database_url},
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
