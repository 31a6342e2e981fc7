"""A simulator for the whole run, and turns against it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from sessions_app.engines import catalog
from sessions_app.engines.base import Upstream
from sessions_app.engines.messages import MessagesEngine
from simulator.testing import Probe, SimulatorProcess
from tests.engines.conformance import MakeTurn
from tests.engines.turns import turn_maker

API_KEY = "sk-alice-and-nobody-else"


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatorProcess]:
    process = SimulatorProcess()
    yield process
    process.stop()


@pytest.fixture
async def probe(simulator: SimulatorProcess) -> AsyncIterator[Probe]:
    async with Probe.client(simulator.url) as http:
        probe = Probe(simulator.url, http)
        await probe.reset()
        yield probe


@pytest.fixture
def upstream(simulator: SimulatorProcess, probe: Probe) -> Upstream:
    return Upstream(simulator.url, API_KEY, idle_timeout=5.0)


@pytest.fixture
def make_turn(upstream: Upstream) -> MakeTurn:
    return turn_maker(upstream)


@pytest.fixture
async def engine() -> AsyncIterator[MessagesEngine]:
    engine = MessagesEngine()
    yield engine
    await engine.aclose()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK retries as often as ever, only sooner."""
    monkeypatch.setattr("anthropic._base_client.INITIAL_RETRY_DELAY", 0.01)


@pytest.fixture(autouse=True)
def fresh_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_listings", {})
