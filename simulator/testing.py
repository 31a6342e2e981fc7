"""For tests, here and of the service: start a simulator, talk to it, look into its journal."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

MODEL = "claude-sonnet-5"
KEY = "sk-alice"

_ANNOUNCEMENT = "simulator listening on "
PROJECT = Path(__file__).resolve().parent.parent
"""The folder that ``simulator`` is imported from."""
_PATIENCE = 20.0
"""Seconds that a wait may take before the test has failed."""


class SimulatorProcess:
    """A simulator in a process of its own that ends with ours, however ours ends."""

    def __init__(self, *command: str) -> None:
        """Start it and wait until it listens; ``command`` is what follows ``python``."""
        self.process = subprocess.Popen(
            [
                *(sys.executable, *(command or ("-m", "simulator"))),
                *("--port", "0", "--exit-with-parent"),
            ],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith(_ANNOUNCEMENT):
            self.process.kill()
            raise RuntimeError(f"the simulator did not start: {line!r}")
        self.url = line.removeprefix(_ANNOUNCEMENT).strip()

    def stop(self) -> int:
        """Close the pipe and wait for the end; returns the exit status."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(timeout=_PATIENCE)


def request_body(prompt: Any = "hello", **fields: Any) -> dict[str, Any]:
    """A body of ``POST /v1/messages`` for one prompt, text or content blocks."""
    messages = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "max_tokens": 1000, "messages": messages} | fields


class Probe:
    """Plain requests to a simulator, and its test aids."""

    def __init__(self, url: str, http: httpx2.AsyncClient) -> None:
        self.url = url
        self.http = http

    @staticmethod
    def client(url: str) -> httpx2.AsyncClient:
        """A client that sends what every request needs."""
        headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}
        return httpx2.AsyncClient(base_url=url, headers=headers, timeout=_PATIENCE)

    async def post(self, prompt: Any = "hello", **fields: Any) -> httpx2.Response:
        """One request without an SDK, its answer read to the end."""
        return await self.http.post("/v1/messages", json=request_body(prompt, **fields))

    async def stats(self) -> dict[str, Any]:
        """The simulator's counts."""
        response = await self.http.get("/sim/stats")
        return dict(response.json())

    async def requests(self) -> list[dict[str, Any]]:
        """The journal, oldest first."""
        response = await self.http.get("/sim/requests")
        return list(response.json()["requests"])

    async def until(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The stats as soon as they satisfy ``condition``; fails when that takes too long."""
        async with asyncio.timeout(_PATIENCE):
            while not condition(stats := await self.stats()):
                pass
        return stats

    async def reset(self) -> None:
        """Forget the journal, the counts of faults and the prompt cache."""
        await self.http.delete("/sim/requests")
