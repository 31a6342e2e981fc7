"""The cast, and a clean start: no counts, no remembered keys."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.db import connection

from claudeapi.conf import AuthOptions, RateLimitOptions
from keys_app.models import ApiKey
from keys_app.resolved import RESOLVED

Until = Callable[[Callable[[], bool]], Awaitable[None]]


class Holder(NamedTuple):
    """Somebody with a key."""

    key: ApiKey
    text: str


@pytest.fixture(autouse=True)
def clean_start(settings: Any, configure: Callable[..., None]) -> Iterator[None]:
    """One process with the default options, whatever services the test run was given."""
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend, "OPTIONS": {"MAX_ENTRIES": 100_000}}}
    settings.CHANNEL_LAYERS = {}
    cache.clear()
    RESOLVED.clear()
    yield
    RESOLVED.clear()


@pytest.fixture
def issue(db: None) -> Callable[..., Holder]:
    def make(name: str = "Alice", **fields: Any) -> Holder:
        return Holder(*ApiKey.objects.issue(name, **fields))

    return make


@pytest.fixture
def alice(issue: Callable[..., Holder]) -> Holder:
    return issue("Alice")


@pytest.fixture
def configure(settings: Any) -> Callable[..., None]:
    """Change the options in force: `configure(auth={…}, rate_limit={…})`."""

    def change(
        auth: dict[str, Any] | None = None, rate_limit: dict[str, Any] | None = None
    ) -> None:
        old = django_settings.OPTIONS
        settings.OPTIONS = replace(
            old,
            auth=replace(old.auth, **auth) if auth else old.auth,
            rate_limit=replace(old.rate_limit, **rate_limit) if rate_limit else old.rate_limit,
        )

    old = django_settings.OPTIONS
    settings.OPTIONS = replace(old, auth=AuthOptions(), rate_limit=RateLimitOptions())
    return change


@pytest.fixture
def until() -> Until:
    """Wait, for at most ten seconds, until a condition holds: `await until(lambda: …)`."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110  (the code under test has no event to wait for)
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def in_parallel() -> Callable[..., list[Any]]:
    """Run a function in many threads that start together; their results, or errors raised."""

    def run(count: int, function: Callable[[], Any]) -> list[Any]:
        gate = threading.Barrier(count)
        results: list[Any] = []

        def one() -> None:
            gate.wait(30)
            try:
                results.append(function())
            except Exception as error:
                results.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=one) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(results) == count
        return results

    return run
