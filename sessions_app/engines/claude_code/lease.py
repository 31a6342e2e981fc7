"""One session's right to use the relay, and what came of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Any

from sessions_app.engines.base import Upstream
from sessions_app.engines.claude_code.failures import Failure
from sessions_app.engines.claude_code.loop_share import LoopShare
from sessions_app.engines.claude_code.sniffer import Tally


def _nothing() -> None:
    """What happens on a stall while nobody listens."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Purse:
    """What the runs of one key in this process may cost together.

    Attributes:
        left: US dollars as of the last run's start, without what the runs in progress cost;
            None for no bound.
    """

    left: Decimal | None = None
    _spending: set[Lease] = field(default_factory=set)

    @property
    def empty(self) -> bool:
        """Whether the runs in progress have spent it."""
        if self.left is None:
            return False
        return sum(lease.tally.cost for lease in self._spending) >= self.left

    def take_from(self, lease: Lease) -> None:
        """A run begins."""
        self._spending.add(lease)

    def settle(self, lease: Lease) -> None:
        """A run is over; what it cost is recorded elsewhere only in a moment."""
        if lease in self._spending:
            self._spending.discard(lease)
            self.left = None if self.left is None else self.left - lease.tally.cost


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a run may ask of the upstream.

    Attributes:
        limit: US dollars that the run may cost; None for no bound. The agent keeps to its
            budget by itself; a tool of its might not.
        purse: what it shares with the other runs of its key.
        models: patterns as in `claude-haiku-*`; none allow all.
    """

    limit: Decimal | None = None
    purse: Purse = field(default_factory=Purse)
    models: Sequence[str] = ()

    def has(self, model: object) -> bool:
        """Whether it may ask this model."""
        if not self.models:
            return True
        return isinstance(model, str) and any(fnmatchcase(model, one) for one in self.models)


@dataclass(slots=True, eq=False)
class Lease:
    """A token that opens the relay while a run is in progress.

    Attributes:
        token: all that the agent ever sees of credentials.
        upstream: where requests go; None while no run is in progress: they are refused.
        failure: the last request's failure, None once one has succeeded.
        tally: what the upstream has counted in this run.
        allowance: what the run may ask for.
        on_stall: called when an answer stalls.
        share: what it may hold up the event loop.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    upstream: Upstream | None = None
    failure: Failure | None = None
    tally: Tally = field(default_factory=Tally)
    allowance: Allowance = field(default_factory=Allowance)
    on_stall: Callable[[], None] = _nothing
    share: LoopShare = field(default_factory=LoopShare, repr=False)
    _in_flight: dict[asyncio.Task[Any], int] = field(default_factory=dict)

    def open(self, upstream: Upstream, allowance: Allowance | None = None) -> None:
        """Let requests through: a run begins."""
        self.upstream = upstream
        self.allowance = allowance or Allowance()
        self.failure = None
        self.tally = Tally()
        self.allowance.purse.take_from(self)

    def shut(self) -> None:
        """End every request in flight at once and let no other through."""
        self.upstream = None
        self.allowance.purse.settle(self)
        self.on_stall = _nothing
        for task in tuple(self._in_flight):
            task.cancel()

    @property
    def api_key(self) -> str:
        """The operator's, which no answer may tell; empty while no run is in progress."""
        return self.upstream.api_key if self.upstream is not None else ""

    @property
    def stalled(self) -> bool:
        """Whether this run's upstream went silent: further tries would only wait as long."""
        return self.failure is not None and self.failure.kind == "stalled"

    @property
    def spent_up(self) -> str:
        """Whose budget the run has spent, alone or with others: `session`, `key`, or empty."""
        limit = self.allowance.limit
        if limit is not None and self.tally.cost >= limit:
            return "session"
        return "key" if self.allowance.purse.empty else ""

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return len(self._in_flight)

    @property
    def held(self) -> int:
        """Bytes of what they ask that are in memory."""
        return sum(self._in_flight.values())

    @contextmanager
    def entered(self) -> Iterator[None]:
        """While a request is under way in this task."""
        task = _this_task()
        self._in_flight[task] = 0
        try:
            yield
        finally:
            del self._in_flight[task]

    def hold(self, size: int) -> None:
        """Note how many bytes of the request that is under way in this task are in memory."""
        self._in_flight[_this_task()] = size


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
