"""The `claude-code` engine does what every engine must do: the real CLI, locked in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from sessions_app.engines.base import Turn, Upstream
from sessions_app.engines.claude_code.engine import ClaudeCodeEngine
from simulator.testing import Probe
from tests.claude_code.conftest import MakeEngine
from tests.engines.conformance import EngineConformance, MakeTurn
from tests.engines.turns import turn_maker


@pytest.mark.slow
class TestClaudeCodeEngine(EngineConformance):
    """The suite, with a CLI that gives up after one more try."""

    asks_again = True

    @pytest.fixture
    def engine(self, make_engine: MakeEngine) -> ClaudeCodeEngine:
        return make_engine(retries=1)

    @pytest.fixture
    async def probe(self, simulator: str) -> AsyncIterator[Probe]:
        async with Probe.client(simulator) as http:
            probe = Probe(simulator, http)
            await probe.reset()
            yield probe

    @pytest.fixture
    def make_turn(self, upstream: Upstream, probe: Probe) -> MakeTurn:
        """Each session has a conversation of its own, which its turns share."""
        make, conversations = turn_maker(upstream), dict[str, str]()

        def make_one(prompt: str, session_id: str = "session-1", **fields: Any) -> Turn:
            conversation = conversations.setdefault(session_id, str(uuid4()))
            return make(prompt, session_id=session_id, claude_session_id=conversation, **fields)

        return make_one
