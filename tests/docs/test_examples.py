"""The guide's programs, as a reader runs them, for the languages that are here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.conftest import Api
from tests.docs.cutting_proxy import CuttingProxy
from tests.server_process import ALICE, ROOT, ServerProcess

EXAMPLES = ROOT / "docs" / "examples"
REPLY = 'You said: "Hello"'


def run(server: ServerProcess | CuttingProxy, *command: str | Path, **variables: str) -> str:
    program = shutil.which(str(command[0]))
    if program is None:
        pytest.skip(f"{command[0]} is not on this machine")
    done = subprocess.run(
        [program, *command[1:]],
        env={**os.environ, "BASE_URL": server.url, "API_KEY": ALICE, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        input="",
        cwd=variables.get("FOLDER", ROOT),
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_the_curl_example_converses(server: ServerProcess, tmp_path: Path) -> None:
    lines = run(server, "bash", EXAMPLES / "conversation.sh", FOLDER=str(tmp_path)).splitlines()

    assert REPLY in lines[0]
    assert lines[1] == lines[0], "the same Idempotency-Key gives the same answer"
    assert int(lines[2]) > 3
    assert lines[-1] == "done"


@pytest.mark.parametrize(
    "command", [[sys.executable, "conversation.py"], ["node", "conversation.mjs"]]
)
def test_the_python_and_javascript_examples_converse(
    server: ServerProcess, command: list[str]
) -> None:
    output = run(server, command[0], EXAMPLES / command[1])

    assert REPLY in output
    assert "Count to three." in output
    assert "refused: 400 INVALID_REQUEST" in output


def test_the_go_example_converses(server: ServerProcess, tmp_path: Path) -> None:
    output = run(server, *in_go(), **go_caches(tmp_path))

    assert REPLY in output
    assert "streamed: This is the claudeapi simulator" in output
    assert "refused: 400 INVALID_REQUEST" in output


@pytest.mark.parametrize("language", ["python", "javascript", "go"])
def test_the_examples_resume_where_a_stream_broke_off(
    server: ServerProcess, language: str, tmp_path: Path
) -> None:
    commands = {
        "python": [sys.executable, EXAMPLES / "conversation.py"],
        "javascript": ["node", EXAMPLES / "conversation.mjs"],
        "go": in_go(),
    }
    with CuttingProxy(server.url) as proxy:
        output = run(proxy, *commands[language], **go_caches(tmp_path))

    assert (proxy.cuts, proxy.refusals) == (1, 0)
    assert "Count to three." in output
    assert "refused: 400 INVALID_REQUEST" in output


def in_go() -> list[str | Path]:
    return ["go", "run", EXAMPLES / "conversation.go"]


def go_caches(folder: Path) -> dict[str, str]:
    return {"GOCACHE": str(folder), "GOFLAGS": "-mod=mod", "GOPROXY": "off"}


def test_the_websocket_example_converses(server: ServerProcess) -> None:
    output = run(server, sys.executable, EXAMPLES / "over_websocket.py")

    assert "accepted as run" in output
    assert REPLY in output
    assert "cost: 0.0" in output


def test_the_approvals_example_lists_what_waits(server: ServerProcess, api: Api) -> None:
    output = run(server, sys.executable, EXAMPLES / "approvals.py", SESSION=api.new_session())

    assert output == "nothing else is waiting\n"
