"""The console's lists, searches and sums once more on PostgreSQL, in a test run of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import psycopg.sql
import pytest

from tests.conftest import require

pytestmark = pytest.mark.slow

SERVER = os.environ.get("TEST_POSTGRES_URL", "postgres://root@127.0.0.1:5432/test")
HERE = Path(__file__).parent
FILES = (
    HERE / "test_sessions_pages.py",
    HERE / "test_sessions_long.py",
    HERE / "test_console_audit.py",
    HERE / "test_console_failures.py",
    HERE / "test_console_overview.py",
    HERE / "test_console_sums.py",
    HERE.parent / "keys" / "test_key_admin_figures.py",
    HERE.parent / "keys" / "test_key_admin_filling.py",
    HERE.parent / "keys" / "test_key_admin_usage.py",
    # A hundred thousand of everything: within 300 ms here too.
    HERE / "test_console_speed.py",
)
SECONDS = 3600


@pytest.mark.postgresql
def test_the_console_answers_the_same_and_as_quickly_on_postgresql(
    request: pytest.FixtureRequest,
) -> None:
    try:
        psycopg.connect(SERVER, connect_timeout=3).close()
        present = True
    except psycopg.OperationalError:
        present = False
    require(f"PostgreSQL at {SERVER.rpartition('@')[2]}", present)
    # A database of this run's own, which Django makes and removes.
    database = f"{SERVER.rpartition('/')[0]}/console_{os.getpid()}"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0"]
    if request.config.inipath:
        command += ["-c", str(request.config.inipath)]
    try:
        run = subprocess.run(
            [*command, *map(str, FILES)],
            env={**os.environ, "DATABASE_URL": database},
            cwd=request.config.rootpath,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    finally:
        # Threads of exports keep connections, for which Django leaves its database behind.
        with psycopg.connect(SERVER, autocommit=True) as admin:
            name = psycopg.sql.Identifier(f"test_{database.rpartition('/')[2]}")
            drop = psycopg.sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            admin.execute(drop.format(name))
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
