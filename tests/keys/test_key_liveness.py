"""Remembered keys: bounded in number and time, and forgotten at once when they change."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from asgiref.sync import sync_to_async
from channels.layers import InMemoryChannelLayer, channel_layers
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from claudeapi.core.errors import InvalidApiKey
from keys_app import announce, auth
from keys_app.models import ApiKey
from keys_app.resolved import RESOLVED, ResolvedKeys
from tests.keys.conftest import Until

IP = "192.0.2.7"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


@pytest.mark.django_db
def test_a_key_is_looked_up_once_in_two_seconds(
    alice: Any, clock: list[float], django_assert_num_queries: Any
) -> None:
    auth.resolve(alice.text, IP)
    clock[0] += 1.9
    with django_assert_num_queries(0):
        auth.resolve(alice.text, IP)
    clock[0] += 0.2
    with django_assert_num_queries(1):
        auth.resolve(alice.text, IP)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", ["revoke", "rotate"])
def test_in_this_process_a_change_takes_effect_at_once(alice: Any, change: str) -> None:
    auth.resolve(alice.text, IP)
    getattr(alice.key, change)()
    with pytest.raises(InvalidApiKey):
        auth.resolve(alice.text, IP)


@pytest.mark.django_db
def test_a_change_that_nobody_told_of_takes_effect_within_two_seconds(
    alice: Any, clock: list[float]
) -> None:
    auth.resolve(alice.text, IP)
    ApiKey.objects.update(revoked_at=timezone.now())
    clock[0] += 2.0
    with pytest.raises(InvalidApiKey):
        auth.resolve(alice.text, IP)


@pytest.mark.django_db
def test_a_remembered_key_expires_on_time(alice: Any) -> None:
    ApiKey.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    key = auth.resolve(alice.text, IP)
    assert auth.is_live(key.pk)
    key.expires_at = timezone.now()
    with pytest.raises(InvalidApiKey):
        auth.resolve(alice.text, IP)


@pytest.mark.django_db
def test_a_failed_lookup_is_not_remembered(alice: Any) -> None:
    ApiKey.objects.update(revoked_at=timezone.now())
    with pytest.raises(InvalidApiKey):
        auth.resolve(alice.text, IP)
    ApiKey.objects.update(revoked_at=None)
    RESOLVED.forget(alice.key.pk)
    assert auth.resolve(alice.text, IP) == alice.key


def test_a_lookup_from_before_a_change_is_not_kept() -> None:
    keys: ResolvedKeys[ApiKey] = ResolvedKeys()
    key = ApiKey(name="Alice")
    before = keys.generation
    keys.forget(key.pk)
    keys.put("digest", key, before)
    keys.put_liveness(key.pk, True, None, before)
    assert keys.get("digest") is None
    assert keys.liveness(key.pk) is None


def test_no_more_keys_are_remembered_than_the_bound() -> None:
    keys: ResolvedKeys[ApiKey] = ResolvedKeys(max_entries=3)
    for number in range(10):
        key = ApiKey(name=str(number))
        keys.put(str(number), key, keys.generation)
        keys.put_liveness(key.pk, True, None, keys.generation)
        keys.claim_touch(key.pk)
    assert [number for number in range(10) if keys.get(str(number))] == [7, 8, 9]
    assert len(keys._keys) == len(keys._live) == len(keys._touched) == 3


@pytest.mark.django_db
def test_a_thousand_open_streams_cost_one_query_a_second(alice: Any, clock: list[float]) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        for _ in range(3):
            clock[0] += 1.0
            assert all(auth.is_live(alice.key.pk) for _ in range(1000))
    assert len(queries) == 3


@pytest.mark.django_db(transaction=True)
def test_while_one_reads_again_the_others_go_by_what_was_read(
    alice: Any, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    auth.is_live(alice.key.pk)
    clock[0] += 1.0
    begun, finish = threading.Event(), threading.Event()
    read = ApiKey.objects.filter

    def slow(**by: Any) -> Any:
        assert not begun.is_set(), "read twice"
        begun.set()
        finish.wait(10)
        return read(**by)

    monkeypatch.setattr(ApiKey.objects, "filter", slow)

    def read_again() -> None:
        auth.is_live(alice.key.pk)
        connection.close()

    reader = threading.Thread(target=read_again)
    reader.start()
    assert begun.wait(10)
    assert all(auth.is_live(alice.key.pk) for _ in range(10))
    finish.set()
    reader.join(10)


def test_of_those_who_find_a_reading_stale_one_renews_it() -> None:
    keys: ResolvedKeys[ApiKey] = ResolvedKeys()
    key = ApiKey(name="Alice")
    keys.put_liveness(key.pk, True, None, keys.generation)
    seen = keys.liveness(key.pk)
    assert seen is not None
    assert [keys.claim_reading(key.pk, seen) for _ in range(3)] == [True, False, False]


@pytest.mark.django_db
def test_open_streams_hear_of_the_end_of_their_key(alice: Any, clock: list[float]) -> None:
    assert auth.is_live(alice.key.pk)
    assert auth.known_live(alice.key.pk) is True
    ApiKey.objects.update(revoked_at=timezone.now())
    clock[0] += 1.0
    assert auth.known_live(alice.key.pk) is None
    assert not auth.is_live(alice.key.pk)
    assert auth.known_live(alice.key.pk) is False


@pytest.mark.django_db
def test_an_unknown_key_is_not_live() -> None:
    assert not auth.is_live(uuid4())


class SharedLayer(InMemoryChannelLayer):
    """Stands in for Redis: only the in-process class itself counts as not shared."""


@pytest.fixture
async def listening(until: Until) -> AsyncIterator[SharedLayer]:
    layer = SharedLayer()
    layer_before = channel_layers.set("default", layer)
    before = RESOLVED.generation
    task = asyncio.create_task(announce.listen())
    await until(lambda: RESOLVED.generation > before)
    yield layer
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    channel_layers.backends = {}
    if layer_before is not None:
        channel_layers.set("default", layer_before)


async def test_a_change_in_another_process_is_heard(listening: SharedLayer, until: Until) -> None:
    key = ApiKey(name="Alice")
    RESOLVED.put("digest", key, RESOLVED.generation)
    await listening.group_send(announce.GROUP, {"type": "keys.changed", "key_id": str(key.pk)})
    await until(lambda: RESOLVED.get("digest") is None)


async def test_a_change_here_is_told_to_the_others(listening: SharedLayer) -> None:
    channel = await listening.new_channel("other")
    await listening.group_add(announce.GROUP, channel)
    key_id = uuid4()
    await sync_to_async(announce.changed)(key_id)
    async with asyncio.timeout(5):
        message = await listening.receive(channel)
    assert message == {"type": "keys.changed", "key_id": str(key_id)}


async def test_without_a_shared_layer_there_is_nothing_to_hear() -> None:
    async with asyncio.timeout(5):
        await announce.listen()


class LayerThatFailsAtTheEnd(SharedLayer):
    """Its Redis went away while somebody listened."""

    async def group_discard(self, group: str, channel: str) -> None:
        raise RedisConnectionError("gone")


async def test_a_failing_layer_does_not_keep_a_listener_alive(until: Until) -> None:
    channel_layers.set("default", LayerThatFailsAtTheEnd())
    before = RESOLVED.generation
    task = asyncio.create_task(announce.listen())
    try:
        await until(lambda: RESOLVED.generation > before)
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        assert task.cancelled()
    finally:
        task.cancel()
        channel_layers.backends = {}
