"""Several processes share their counts and changes through Redis; without it they say so."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from asgiref.sync import sync_to_async
from channels.layers import channel_layers
from channels_redis.pubsub import RedisPubSubChannelLayer

from claudeapi.core.errors import RateLimitExceeded, Unavailable
from keys_app import announce, limits
from keys_app.limits import RateState
from keys_app.models import ApiKey
from keys_app.resolved import RESOLVED
from tests.conftest import require
from tests.keys.conftest import Until

SERVER = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture
def redis_url() -> str:
    try:
        present = bool(redis.Redis.from_url(SERVER, socket_connect_timeout=3).ping())
    except redis.RedisError:
        present = False
    require(f"Redis at {SERVER.rpartition('@')[2]}", present)
    return SERVER


def counting_in(url: str, prefix: str) -> dict[str, Any]:
    backend = "claudeapi.core.cache.SharedRedisCache"
    return {"default": {"BACKEND": backend, "LOCATION": url, "KEY_PREFIX": prefix}}


@pytest.fixture
def counting(settings: Any, configure: Any, redis_url: str) -> Iterator[None]:
    prefix = uuid4().hex
    settings.CACHES = counting_in(redis_url, prefix)
    # A day, so that no window ends within the test.
    configure(rate_limit={"window_ms": 86_400_000})
    yield
    with redis.Redis.from_url(redis_url) as server:
        counts = list(server.scan_iter(f"{prefix}:*"))
        assert len(counts) == 1
        server.delete(*counts)


@pytest.mark.usefixtures("counting")
def test_fifty_parallel_requests_are_counted_exactly_in_redis(in_parallel: Any) -> None:
    key = ApiKey(name="Alice", rate_limit=20)
    results = in_parallel(50, lambda: limits.hit(key))
    passed = [result for result in results if isinstance(result, RateState)]
    assert len(passed) == 20
    assert sum(isinstance(result, RateLimitExceeded) for result in results) == 30


def test_without_its_redis_a_request_is_503(settings: Any) -> None:
    settings.CACHES = counting_in(NOBODY, "nothing")
    with pytest.raises(Unavailable):
        limits.hit(ApiKey(name="Alice"))


async def test_a_change_is_heard_over_redis(redis_url: str, until: Until) -> None:
    layer = RedisPubSubChannelLayer(hosts=[redis_url], prefix=uuid4().hex)
    channel_layers.set("default", layer)
    before = RESOLVED.generation
    listening = asyncio.create_task(announce.listen())
    key = ApiKey(name="Alice")
    try:
        # It clears what is remembered once it has joined.
        await until(lambda: RESOLVED.generation > before)
        RESOLVED.put("digest", key, RESOLVED.generation)
        # Told by another process: ours would forget before it sends.
        await layer.group_send("keys", {"type": "keys.changed", "key_id": str(key.pk)})
        await until(lambda: RESOLVED.get("digest") is None)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await layer.flush()
        channel_layers.backends = {}


async def test_a_change_that_cannot_be_told_still_takes_effect_here() -> None:
    channel_layers.set("default", RedisPubSubChannelLayer(hosts=[NOBODY]))
    key = ApiKey(name="Alice")
    RESOLVED.put("digest", key, RESOLVED.generation)
    try:
        await sync_to_async(announce.changed)(key.pk)
    finally:
        channel_layers.backends = {}
    assert RESOLVED.get("digest") is None


async def test_a_listener_that_cannot_reach_redis_ends_when_it_is_told_to() -> None:
    channel_layers.set("default", RedisPubSubChannelLayer(hosts=[NOBODY]))
    listening = asyncio.create_task(announce.listen())
    try:
        done, _ = await asyncio.wait({listening}, timeout=0.2)
        assert not done
        listening.cancel()
        await asyncio.wait({listening}, timeout=5)
        assert listening.cancelled()
    finally:
        channel_layers.backends = {}
