"""How often a key may ask. One function that REST, SSE and WebSocket share."""

from __future__ import annotations

import ipaddress
import math
import time
from dataclasses import dataclass
from typing import Literal

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django_ratelimit import ALL
from django_ratelimit.core import get_usage
from redis.exceptions import RedisError

from claudeapi.conf import options
from claudeapi.core.errors import RateLimitExceeded, Unavailable
from keys_app.models import ApiKey

FAILURES_ALLOWED = 30
FAILURE_WINDOW_SECONDS = 300
IPV6_SITE_BITS = 64


@dataclass(frozen=True)
class RateState:
    """Where a key stands in its window: facts, rendered elsewhere.

    Args:
        limit: requests allowed in a window.
        remaining: how many of them are left.
        reset: Unix second at which the next window begins.
    """

    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        """The `X-RateLimit-*` headers."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset),
        }


def hit(key: ApiKey) -> RateState:
    """Count one request of this key.

    With rate limiting switched off nothing is counted, and the headers show a full window.

    Raises:
        RateLimitExceeded: with the rate headers and `Retry-After`.
        Unavailable: the cache that counts has failed; an uncounted request is not let through.
    """
    limit, period = _rate(key)
    if not options().rate_limit.enabled:
        return RateState(limit, limit, math.ceil(time.time()) + period)
    count, reset = count_use("keys", str(key.pk), limit, period)
    state = RateState(limit, max(0, limit - count), reset)
    if count > limit:
        raise RateLimitExceeded(
            f"More than {limit} requests in {period} s.",
            details={"limit": limit, "windowMs": period * 1000, "resetAt": reset},
            retry_after=_seconds_until(reset),
            headers=state.headers(),
        )
    return state


def peek(key: ApiKey) -> RateState:
    """Where the key stands, without counting.

    Raises:
        Unavailable: the cache that counts has failed.
    """
    limit, period = _rate(key)
    if not options().rate_limit.enabled:
        return RateState(limit, limit, math.ceil(time.time()) + period)
    count, reset = count_use("keys", str(key.pk), limit, period, add=0)
    return RateState(limit, max(0, limit - count), reset)


def counts_in_memory() -> bool:
    """Whether counting takes no network, so that an event loop may do it."""
    name = getattr(settings, "RATELIMIT_USE_CACHE", "default")
    return not options().rate_limit.enabled or isinstance(caches[name], LocMemCache)


def failed_credentials(ip: str) -> None:
    """Count one failed attempt of this address (IPv6: of its /64).

    Called for failures only, so nobody can lock out a valid key by failing from its address.

    Raises:
        RateLimitExceeded: more than 30 failures in five minutes.
        Unavailable: the cache that counts has failed.
    """
    count, reset = count_use("failures", site_of(ip), FAILURES_ALLOWED, FAILURE_WINDOW_SECONDS)
    if count > FAILURES_ALLOWED:
        raise RateLimitExceeded(
            "Too many requests with an invalid API key from this address.",
            retry_after=_seconds_until(reset),
        )


def _rate(key: ApiKey) -> tuple[int, int]:
    """Requests and seconds: the limiter knows whole seconds only, so a window rounds up."""
    rules = options().rate_limit
    return key.rate_limit or rules.max_requests, max(1, math.ceil(rules.window_ms / 1000))


def count_use(
    group: str, who: str, limit: int, period: int, *, add: Literal[0, 1] = 1
) -> tuple[int, int]:
    """Add one, or look; how many there are in this window, and when the next one begins.

    Args:
        group: what is counted.
        who: whose uses they are.
        period: seconds of a window.

    Raises:
        Unavailable: the cache that counts has failed.
    """
    try:
        usage = get_usage(
            None,
            group=f"claudeapi.{group}",
            key=lambda _group, _request: who,
            rate=(limit, period),
            method=ALL,
            increment=bool(add),
        )
    except (OSError, RedisError) as error:
        raise Unavailable("The rate limit cannot be counted at the moment.") from error
    # A limit of 0 is how a count that failed is told; ours are 1 or more.
    if usage is None or usage["limit"] == 0:
        raise Unavailable("The rate limit cannot be counted at the moment.")
    # A window includes its last second: the next one begins a second after it. Where that
    # second ends while we count, the time left is -1.
    return usage["count"], int(time.time()) + max(0, usage["time_left"]) + 1


def _seconds_until(reset: int) -> int:
    return max(1, reset - int(time.time()))


def site_of(ip: str) -> str:
    """The address, or the /64 of an IPv6 one: a site has as many addresses as it likes."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return ip
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    if mapped is None and isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), IPV6_SITE_BITS), strict=False))
    return str(mapped or address)
