"""Messages that wait for a process, where all are busy."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

import pytest

from claudeapi.core.errors import BudgetExceeded, ConcurrencyLimitExceeded, Unavailable
from sessions_app.engines.base import Upstream
from sessions_app.engines.claude_code import pool as pools
from sessions_app.engines.claude_code.actor import Actor
from sessions_app.engines.claude_code.engine import ClaudeCodeEngine
from sessions_app.engines.claude_code.pool import Pool
from tests.claude_code.cast import Session, TestHost, Told, bash, until
from tests.claude_code.conftest import MakeEngine

PLENTY = 1 << 40


@dataclass(eq=False)
class Idler:
    """An agent that does nothing, and takes a moment to end."""

    alive: bool = True
    used_at: float = field(default_factory=iter(range(1_000_000)).__next__)

    async def close(self) -> None:
        self.alive = False
        await asyncio.sleep(0)


class House:
    """A pool, and runs that stay in it until they are let go."""

    def __init__(self, **options: Any) -> None:
        self.memory: int = PLENTY
        options = {"max_live": 1, "idle_seconds": 60.0, "available": lambda: self.memory} | options
        self.pool = Pool(**options)
        self.inside: list[str] = []
        self.most = 0
        self._leave: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def _run(self, name: str) -> None:
        async with self.pool.seat(name):
            await self.pool.start(name, self._made)
            self.inside.append(name)
            self.most = max(self.most, len(self.pool.live()))
            await self._leave[name].wait()

    async def _made(self) -> Actor:
        await asyncio.sleep(0)
        return cast("Actor", Idler())

    def enter(self, *names: str) -> None:
        for name in names:
            self._leave[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._run(name))

    def leave(self, name: str) -> None:
        self._leave[name].set()

    async def until_inside(self, *names: str) -> None:
        async with asyncio.timeout(5):
            while self.inside != list(names):  # noqa: ASYNC110 - as many turns as it takes
                await asyncio.sleep(0)


async def settled() -> None:
    """Everything that can go on without us has done so."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_who_waits_comes_in_by_order_of_arrival() -> None:
    house = House()
    house.enter("a", "b", "c", "d")
    await house.until_inside("a")

    for name, inside in (("a", "ab"), ("b", "abc"), ("c", "abcd")):
        house.leave(name)
        await house.until_inside(*inside)
        await settled()
        assert house.inside == list(inside)

    assert house.most == 1


async def test_who_gives_up_is_passed_over() -> None:
    house = House()
    house.enter("a", "b", "c")
    await house.until_inside("a")

    house.tasks["b"].cancel()
    await asyncio.wait({house.tasks["b"]}, timeout=1)
    house.leave("a")

    await house.until_inside("a", "c")
    assert house.tasks["b"].cancelled()


async def test_who_gives_up_as_its_turn_comes_takes_nobodys_place() -> None:
    house = House()
    house.enter("a", "b", "c")
    await house.until_inside("a")
    await settled()

    house.leave("a")
    await asyncio.sleep(0)
    house.tasks["b"].cancel()

    await house.until_inside("a", "c")


async def test_the_wait_is_bounded_for_each() -> None:
    house = House(patience=0.05)
    house.enter("a", "b", "c")
    await house.until_inside("a")

    for name in ("b", "c"):
        with pytest.raises(ConcurrencyLimitExceeded):
            await asyncio.wait_for(house.tasks[name], 5)

    house.leave("a")
    await house.tasks["a"]
    house.enter("d")
    await house.until_inside("a", "d")


async def test_a_process_that_does_not_start_leaves_its_room_to_the_next() -> None:
    house = House()
    begun, fail = asyncio.Event(), asyncio.Event()

    async def failing() -> Actor:
        begun.set()
        await fail.wait()
        raise Unavailable("No.")

    starting = asyncio.create_task(house.pool.start("a", failing))
    await begun.wait()
    house.enter("b")
    await settled()
    assert house.inside == []

    fail.set()

    await house.until_inside("b")
    with pytest.raises(Unavailable):
        await starting


async def test_a_session_that_ends_leaves_its_room_to_the_next() -> None:
    house = House()
    house.enter("a", "b")
    await house.until_inside("a")
    await settled()

    await house.pool.release("a")

    await house.until_inside("a", "b")


async def test_memory_that_comes_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_LOOK_AGAIN", 0.01)
    house = House(max_live=5)
    house.memory = 0
    house.enter("a")
    await settled()
    assert house.inside == []

    house.memory = PLENTY

    await house.until_inside("a")


async def test_those_that_start_are_counted_before_they_take_their_memory() -> None:
    house = House(max_live=5, starts=5)
    house.memory = 3 * pools.MEMORY_PER_ACTOR
    begun, go_on = 0, asyncio.Event()

    async def slow() -> Actor:
        nonlocal begun
        begun += 1
        await go_on.wait()
        return cast("Actor", Idler())

    starting = [asyncio.create_task(house.pool.start(name, slow)) for name in "abc"]
    await settled()
    assert begun == 1

    house.memory = PLENTY
    go_on.set()
    await asyncio.wait_for(asyncio.gather(*starting), 5)
    assert begun == 3


@pytest.mark.parametrize("seed", range(5))
async def test_nobody_is_forgotten_however_they_come_and_go(seed: int) -> None:
    dice = random.Random(seed)
    house = House(max_live=3, patience=60.0)
    names = [f"{number}" for number in range(60)]
    given_up: set[str] = set()
    for name in names:
        house.enter(name)
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        if dice.random() < 0.3:
            given_up.add(other := dice.choice(list(house.tasks)))
            house.tasks[other].cancel()
        for inside in dice.sample(house.inside, k=min(2, len(house.inside))):
            house.leave(inside)

    async with asyncio.timeout(10):
        while not all(task.done() for task in house.tasks.values()):
            for inside in house.inside:
                house.leave(inside)
            await asyncio.sleep(0)

    assert set(names) - given_up <= set(house.inside)
    assert house.inside == sorted(house.inside, key=int)
    assert house.most <= 3


@pytest.fixture
def crowded(make_engine: MakeEngine, upstream: Upstream) -> tuple[Session, Session]:
    """Alice, and Bob, who finds the only process busy while she is at work."""
    engine = make_engine(max_live=1)
    return Session(engine, upstream), Session(engine, upstream, key_id="bob")


def at_work(alice: Session, host: TestHost) -> asyncio.Task[Told]:
    return asyncio.create_task(alice.say("[[sim slow n=2000 delay=20ms]]", host))


async def busy(engine: ClaudeCodeEngine) -> None:
    await until(lambda: any(live["busy"] for live in engine.live_sessions().values()))


async def test_a_message_waits_until_an_agent_is_done(crowded: tuple[Session, Session]) -> None:
    (alice, bob), host = crowded, TestHost()
    saying = at_work(alice, host)
    await busy(alice.engine)
    waiting = asyncio.create_task(bob.say("Hello"))
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.5)
    assert not waiting.done()

    host.cancelled.set()

    assert (await saying).finished.status == "cancelled"
    assert (await waiting).finished.status == "completed"
    assert list(alice.engine.live_sessions()) == [bob.session_id]


async def test_a_message_that_waits_is_cancelled_at_once(crowded: tuple[Session, Session]) -> None:
    (alice, bob), host, bobs = crowded, TestHost(), TestHost()
    saying = at_work(alice, host)
    await busy(alice.engine)
    waiting = asyncio.create_task(bob.say("Hello", bobs))
    await settled()

    bobs.cancelled.set()

    told = await asyncio.wait_for(waiting, 1)
    assert told.finished.status == "cancelled"
    assert not saying.done()
    host.cancelled.set()
    await saying


async def test_a_message_that_has_waited_too_long_fails(
    make_engine: MakeEngine, upstream: Upstream
) -> None:
    engine = make_engine(max_live=1, patience=0.1)
    alice, bob, host = Session(engine, upstream), Session(engine, upstream), TestHost()
    saying = at_work(alice, host)
    await busy(engine)

    told = await bob.say("Hello")
    host.cancelled.set()

    assert type(told.error) is ConcurrencyLimitExceeded
    assert told.error.retry_after == 5
    assert (await saying).finished.status == "cancelled"


async def test_rules_that_must_not_hold_in_plan_mode_keep_a_message_that_waits_from_it(
    crowded: tuple[Session, Session],
) -> None:
    (alice, bob), host = crowded, TestHost()
    bob.config = {"allowedTools": ["Bash(touch *)"]}
    saying = at_work(alice, host)
    await busy(alice.engine)
    waiting = asyncio.create_task(bob.say(bash("touch a.txt")))
    await until(lambda: bob.session_id in bob.engine._waiting)

    await bob.engine.configure(bob.session_id, permission_mode="plan")
    host.cancelled.set()

    assert [note["permissionMode"] for note in (await waiting).of("system", "init")] == ["default"]
    await saying


async def test_a_change_while_a_message_waits_holds_for_it(
    crowded: tuple[Session, Session],
) -> None:
    (alice, bob), host, bobs = crowded, TestHost(), TestHost()
    bob.config = {"permissionMode": "acceptEdits"}
    saying = at_work(alice, host)
    await busy(alice.engine)
    waiting = asyncio.create_task(bob.say(bash("touch a.txt"), bobs))
    await until(lambda: bob.session_id in bob.engine._waiting)

    await bob.engine.configure(bob.session_id, model="claude-haiku-4-5", permission_mode="default")
    host.cancelled.set()

    told = await waiting
    assert told.finished.model == "claude-haiku-4-5"
    assert [question.tool_name for question in bobs.asked] == ["Bash"]
    await saying


@pytest.mark.parametrize("waits_for", ["room", "its turn"])
async def test_what_is_spent_while_a_message_waits_is_not_left_for_it(
    make_engine: MakeEngine, upstream: Upstream, waits_for: str
) -> None:
    engine = make_engine(max_live=1)
    alice = Session(engine, upstream)
    other = Session(engine, upstream) if waits_for == "room" else alice
    left = {"keyBudgetUsd": "0.000001"}
    saying = asyncio.create_task(alice.say("[[sim slow n=100 delay=20ms]]", **left))
    await busy(engine)
    waiting = asyncio.create_task(other.say("Hello", **left))

    assert (await saying).spent.cost_usd > Decimal("0.000001")

    assert type((await waiting).error) is BudgetExceeded
