"""System checks of what the limits depend on, `keys_app.E…` and `keys_app.W…`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from django.core.checks import CheckMessage, Error, Warning, register

ENTRIES_NEEDED = 10_000


@register()
def check_counting_cache(**_: Any) -> Iterator[CheckMessage]:
    """The cache that counts requests must count exactly, and keep what it counted."""
    name = getattr(settings, "RATELIMIT_USE_CACHE", "default")
    try:
        cache = caches[name]
    except InvalidCacheBackendError as error:
        yield Error(f"RATELIMIT_USE_CACHE names no usable cache: {error}", id="keys_app.E001")
        return
    if not isinstance(cache, LocMemCache | RedisCache):
        yield Error(
            f"The cache {name!r} cannot count requests exactly: use Redis, or the in-process "
            "LocMemCache with one worker.",
            id="keys_app.E001",
        )
    elif isinstance(cache, LocMemCache) and cache._max_entries < ENTRIES_NEEDED:
        yield Warning(
            f"The cache {name!r} drops counts beyond {cache._max_entries} entries, so a caller "
            f"with many addresses can reset limits: set OPTIONS.MAX_ENTRIES to "
            f"{ENTRIES_NEEDED} or more.",
            id="keys_app.W002",
        )


@register()
def check_ratelimit_settings(**_: Any) -> Iterator[CheckMessage]:
    """Settings of django-ratelimit that would switch our limits off behind our options."""
    if not getattr(settings, "RATELIMIT_ENABLE", True):
        yield Error(
            "RATELIMIT_ENABLE=False stops counting altogether: use RATE_LIMIT_ENABLED=false.",
            id="keys_app.E003",
        )
    if getattr(settings, "RATELIMIT_FAIL_OPEN", False):
        yield Error(
            "RATELIMIT_FAIL_OPEN lets requests through uncounted; it is not supported.",
            id="keys_app.E004",
        )
