"""The process: how it starts, and that it never outlives whoever started it."""

from __future__ import annotations

import subprocess
import sys

import httpx2
import pytest

from simulator.testing import PROJECT, Probe, SimulatorProcess, request_body

DJANGO = """
import sys
from django.conf import settings
from django.core.management import execute_from_command_line

settings.configure(INSTALLED_APPS=["simulator"])
execute_from_command_line(["manage.py", "simulator", *sys.argv[1:]])
"""

PARENT = """
import sys
from simulator.testing import SimulatorProcess

print(SimulatorProcess().url, flush=True)
sys.stdin.read()
"""


def test_the_announced_port_answers_at_once() -> None:
    simulator = SimulatorProcess()
    assert httpx2.get(f"{simulator.url}/healthz").json() == {"status": "ok"}
    assert simulator.stop() == 0


def test_the_management_command_is_the_same_simulator() -> None:
    simulator = SimulatorProcess("-c", DJANGO)
    assert httpx2.get(f"{simulator.url}/healthz").status_code == 200
    assert simulator.stop() == 0


async def test_sigterm_ends_it_with_a_stream_open() -> None:
    simulator = SimulatorProcess()
    body = request_body("[[sim stall after=0]]", stream=True)
    async with (
        Probe.client(simulator.url) as http,
        http.stream("POST", "/v1/messages", json=body) as response,
    ):
        assert response.status_code == 200
        simulator.process.terminate()
        simulator.process.wait(timeout=60)
    simulator.stop()


def test_it_dies_with_a_parent_that_was_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    url = parent.stdout.readline().strip()
    stream = httpx2.Client().send(
        httpx2.Request(
            "POST",
            f"{url}/v1/messages",
            json=request_body("[[sim stall after=0]]", stream=True),
            headers={"x-api-key": "k", "anthropic-version": "2023-06-01"},
        ),
        stream=True,
    )
    parent.kill()
    parent.wait(timeout=60)
    with pytest.raises(httpx2.RemoteProtocolError):
        stream.read()
