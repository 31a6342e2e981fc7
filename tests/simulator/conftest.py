"""A simulator in its own process, and the official SDK to talk to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from anthropic import AsyncAnthropic

from simulator.testing import KEY, Probe, SimulatorProcess


@pytest.fixture(scope="session")
def base_url() -> Iterator[str]:
    simulator = SimulatorProcess()
    yield simulator.url
    simulator.stop()


@pytest.fixture
async def probe(base_url: str) -> AsyncIterator[Probe]:
    async with Probe.client(base_url) as http:
        probe = Probe(base_url, http)
        await probe.reset()
        yield probe


@pytest.fixture
async def sdk(probe: Probe) -> AsyncIterator[AsyncAnthropic]:
    """Depends on the probe so that each test starts with an empty journal."""
    async with AsyncAnthropic(api_key=KEY, base_url=probe.url, max_retries=0) as client:
        yield client
