"""What an engine is: it takes a `Turn` and yields events until the turn has ended.

Engines know nothing of Django, of sessions in a database or of clients. The runner that
drives them numbers, stores and sends what they yield.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import urlsplit

from sessions_app.engines.events import EngineEvent

NEEDS_SANDBOX = "bypassPermissions needs the sandbox, and agents are not locked in on this server."
"""Why an agent is refused that would ask nobody."""

Block = dict[str, Any]
"""One content block of the Messages API."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The Messages API that engines talk to: Anthropic, a gateway, or the simulator.

    Attributes:
        base_url: without a trailing slash and without `/v1`.
        api_key: sent as the SDK sends it (a bearer token); never logged.
        idle_timeout: seconds without content after which a stream counts as stalled.
    """

    base_url: str
    api_key: str = field(repr=False)
    idle_timeout: float = 90.0

    @property
    def may_be_behind_a_proxy(self) -> bool:
        """Whether the environment's proxy counts: never between this machine and itself."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return not ip_address(host).is_loopback
        except ValueError:
            return host != "localhost"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message to be answered.

    Attributes:
        run_id, session_id, key_id: whose turn this is, as strings.
        prompt: the user's content blocks.
        model: a model id or alias.
        history: earlier Messages API messages, oldest first (`messages` engine).
        config: what the session was created with, in the names of the wire contract
            (`cwd`, `permissionMode`, `maxTurns`, `allowedTools`, …).
        claude_session_id: the conversation's id at Claude Code, chosen by us.
        message_id: our id of the user's message.
        spent_usd: what the session has cost so far, in US dollars.
    """

    run_id: str
    session_id: str
    key_id: str
    prompt: Sequence[Block]
    model: str
    upstream: Upstream
    system_prompt: str = ""
    append_system_prompt: str = ""
    history: Sequence[dict[str, Any]] = ()
    config: dict[str, Any] = field(default_factory=dict)
    claude_session_id: str = ""
    message_id: str = ""
    spent_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Question:
    """A tool call that waits for a yes."""

    tool_use_id: str
    tool_name: str
    input: dict[str, Any]
    reason: str = ""
    suggestions: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a `Question`; `scope` is `once` or `session`."""

    allow: bool
    message: str = ""
    scope: str = "once"
    updated_input: dict[str, Any] | None = None


class Host(Protocol):
    """What an engine may ask of the one who drives it.

    `cancelled` is set when the run shall stop: the engine then ends its upstream work at
    once, yields what is whole so far, and finishes with the status `cancelled`.
    """

    cancelled: asyncio.Event

    async def decide(self, question: Question) -> Decision:
        """Wait for somebody's yes or no. Fails closed: a time-out is a no."""
        ...


class Engine(Protocol):
    """One way of answering a message.

    `run` yields events and, last of all, exactly one `Finished`; or it raises an
    `ApiError` whose code says why it failed; a `BudgetExceeded` has the detail `of`, `session`
    or `key`, and gets its figures from whoever drives the engine. Closing the iterator frees
    what it holds. What the peer sends and we do not know is skipped, not fatal.
    """

    name: str

    def run(self, turn: Turn, host: Host) -> AsyncGenerator[EngineEvent, None]:
        """Answer one turn."""
        ...

    async def configure(
        self, session_id: str, *, model: str | None = None, permission_mode: str | None = None
    ) -> None:
        """Apply a change to a live session; no effect where nothing is live."""
        ...

    async def release(self, session_id: str) -> None:
        """Free what a session holds (a process, a socket): it has ended."""
        ...

    async def aclose(self) -> None:
        """Free everything: the server stops."""
        ...
