"""The real CLI against the simulator: one simulator, and an engine per test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sessions_app.engines.base import Upstream
from sessions_app.engines.claude_code.engine import ClaudeCodeEngine
from sessions_app.engines.claude_code.probe import find_cli
from sessions_app.engines.claude_code.store import MemoryTranscripts
from simulator.testing import SimulatorProcess
from tests.claude_code.cast import Session
from tests.conftest import require, require_program

OPERATORS_KEY = "sk-operator-0123456789"

MakeEngine = Callable[..., ClaudeCodeEngine]


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    process = SimulatorProcess()
    yield process.url
    process.stop()


@pytest.fixture
def upstream(simulator: str) -> Upstream:
    return Upstream(simulator, OPERATORS_KEY, idle_timeout=30.0)


@pytest.fixture
async def make_engine(tmp_path: Path) -> AsyncIterator[MakeEngine]:
    """Makes engines that are closed in the end."""
    require("the Claude Code CLI", find_cli() is not None)
    require_program("bwrap")
    engines: list[ClaudeCodeEngine] = []

    def make(**options: Any) -> ClaudeCodeEngine:
        chosen = {
            "data_dir": tmp_path / "data",
            "transcripts": MemoryTranscripts(),
            "sandbox_mode": "required",
            **options,
        }
        engines.append(ClaudeCodeEngine(**chosen))
        return engines[-1]

    yield make
    for engine in engines:
        await engine.aclose()


@pytest.fixture
def engine(make_engine: MakeEngine) -> ClaudeCodeEngine:
    return make_engine()


@pytest.fixture
def alice(engine: ClaudeCodeEngine, upstream: Upstream) -> Session:
    return Session(engine, upstream)


@pytest.fixture
def mallory(engine: ClaudeCodeEngine, upstream: Upstream) -> Session:
    return Session(engine, upstream, key_id="mallory")
