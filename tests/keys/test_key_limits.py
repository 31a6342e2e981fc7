"""Requests per window: counted exactly, told truthfully, refused when they cannot be counted."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
from django.core.cache import cache
from redis.exceptions import ConnectionError as RedisConnectionError

from claudeapi.core.errors import RateLimitExceeded, Unavailable
from keys_app import limits
from keys_app.limits import RateState

pytestmark = pytest.mark.django_db


def test_the_state_counts_down_to_a_refusal_with_headers(issue: Any) -> None:
    key = issue(rate_limit=2).key
    assert [limits.hit(key).remaining for _ in range(2)] == [1, 0]
    with pytest.raises(RateLimitExceeded) as refused:
        limits.hit(key)
    headers = refused.value.response_headers()
    assert headers["X-RateLimit-Limit"] == "2"
    assert headers["X-RateLimit-Remaining"] == "0"
    assert 1 <= int(headers["Retry-After"]) <= 60
    assert int(headers["X-RateLimit-Reset"]) - time.time() <= 61


def test_each_key_has_a_count_of_its_own(issue: Any) -> None:
    first, second = issue("Alice", rate_limit=1).key, issue("Bob", rate_limit=1).key
    limits.hit(first)
    assert limits.hit(second).remaining == 0


def test_a_new_window_begins_at_the_second_that_was_told(
    issue: Any, configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(rate_limit={"window_ms": 10_000})
    key = issue(rate_limit=1).key
    now = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    reset = limits.hit(key).reset
    assert now[0] < reset <= now[0] + 10
    now[0] = reset - 1
    with pytest.raises(RateLimitExceeded) as refused:
        limits.hit(key)
    assert refused.value.retry_after == 1
    now[0] = reset
    assert limits.hit(key).remaining == 0


def test_a_count_in_the_last_second_of_a_window_is_a_count(
    issue: Any, configure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(rate_limit={"window_ms": 5000})
    key = issue(rate_limit=1000).key
    for start in range(1_800_000_000, 1_800_000_005):
        seconds = itertools.count(start)
        monkeypatch.setattr(time, "time", lambda each=seconds: next(each))
        limits.hit(key)


def test_the_servers_limit_and_window_hold_for_keys_without_their_own(
    alice: Any, configure: Any
) -> None:
    configure(rate_limit={"max_requests": 7, "window_ms": 1500})
    state = limits.hit(alice.key)
    assert (state.limit, state.remaining) == (7, 6)
    assert state.reset - time.time() <= 2


def test_switched_off_nothing_is_counted_and_headers_show_a_full_window(
    issue: Any, configure: Any
) -> None:
    configure(rate_limit={"enabled": False})
    key = issue(rate_limit=1).key
    assert [limits.hit(key).remaining for _ in range(3)] == [1, 1, 1]


def test_looking_does_not_count(issue: Any) -> None:
    key = issue(rate_limit=5).key
    limits.hit(key)
    assert limits.peek(key).remaining == limits.peek(key).remaining == 4


def test_fifty_parallel_requests_are_counted_exactly(
    issue: Any, configure: Any, in_parallel: Any
) -> None:
    # A day, so that no window ends within the test.
    configure(rate_limit={"window_ms": 86_400_000})
    key = issue(rate_limit=20).key
    results = in_parallel(50, lambda: limits.hit(key))
    passed = [result for result in results if isinstance(result, RateState)]
    refused = [result for result in results if isinstance(result, RateLimitExceeded)]
    assert (len(passed), len(refused)) == (20, 30)
    assert sorted(state.remaining for state in passed) == list(range(20))


@pytest.mark.parametrize("failure", [RedisConnectionError("refused"), OSError("gone")])
def test_a_cache_that_fails_is_503_and_not_429(
    alice: Any, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(type(cache._connections[cache._alias]), "add", fail)  # type: ignore[attr-defined]
    with pytest.raises(Unavailable) as refused:
        limits.hit(alice.key)
    assert refused.value.response_headers()["Retry-After"]


def test_a_cache_that_cannot_count_is_503(alice: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = type(cache._connections[cache._alias])  # type: ignore[attr-defined]
    monkeypatch.setattr(backend, "add", lambda *_, **__: False)
    monkeypatch.setattr(backend, "incr", lambda *_, **__: None)
    with pytest.raises(Unavailable):
        limits.hit(alice.key)
