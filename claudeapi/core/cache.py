"""Django's Redis cache with one client, so one connection pool, per process."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

from django.core.cache.backends.redis import RedisCache, RedisCacheClient


@lru_cache
def _client(servers: tuple[str, ...], options: tuple[tuple[str, Any], ...]) -> RedisCacheClient:
    return RedisCacheClient(list(servers), **dict(options))


class SharedRedisCache(RedisCache):
    """Django keeps a cache object per thread, and each would have a pool of its own.

    redis-py's pools are safe between threads. With a thread a request, a pool a thread means
    a new connection for every request.
    """

    _servers: list[str]
    _options: Mapping[str, Any]

    @cached_property
    def _cache(self) -> RedisCacheClient:
        return _client(tuple(self._servers), tuple(sorted(self._options.items())))
