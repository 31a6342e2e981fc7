"""The README's requests, word for word."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.conftest import StartServer
from tests.server_process import ALICE, ROOT

README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("engine", ["claude-code", "messages"])
def test_the_three_requests_of_the_readme_work(start_server: StartServer, engine: str) -> None:
    server = start_server(DEFAULT_ENGINE=engine)
    script = re.search(r"<!-- tried by \S+ -->\n```bash\n(.*?)```", README, re.DOTALL)
    assert script is not None
    lines = script[1].replace("KEY=capi_...   # yours", f"KEY={ALICE}")
    lines = lines.replace("http://localhost:3050", server.url)
    assert lines.count("curl ") == 3

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", lines],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    reply, _, stream = done.stdout.partition("}retry: ")
    assert "Hello! What can you do?" in json.loads(reply + "}")["response"]
    assert "event: connected" in stream
    assert "event: complete" in stream
