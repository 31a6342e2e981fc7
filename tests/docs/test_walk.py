"""The walk through all endpoints, as a user runs it."""

from __future__ import annotations

import os
import subprocess

from tests.server_process import ALICE, ROOT, ServerProcess


def test_the_walk_passes_against_a_live_server(server: ServerProcess) -> None:
    done = run_walk(server.url, ALICE)

    assert "FAIL" not in done.stdout, done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_the_walk_says_what_failed(server: ServerProcess) -> None:
    done = run_walk(server.url + "/elsewhere", ALICE)

    assert done.returncode == 1
    assert "FAIL  livez answers" in done.stdout


def run_walk(url: str, key: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "tests" / "scripts" / "test-claude-api.sh"],
        env={**os.environ, "BASE_URL": url, "API_KEY": key},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
