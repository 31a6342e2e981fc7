"""System checks: what would make limits leak is said at start."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.checks import run_checks

LOCMEM = "django.core.cache.backends.locmem.LocMemCache"


def ids() -> set[str]:
    found = {message.id or "" for message in run_checks()}
    return {one for one in found if one.startswith("keys_app.")}


def test_the_settings_as_they_are_have_nothing_to_say() -> None:
    assert ids() == set()


@pytest.mark.parametrize(
    ("cache", "expected"),
    [
        ({"BACKEND": "django.core.cache.backends.dummy.DummyCache"}, {"keys_app.E001"}),
        ({"BACKEND": LOCMEM}, {"keys_app.W002"}),
        ({"BACKEND": LOCMEM, "OPTIONS": {"MAX_ENTRIES": 50_000}}, set()),
    ],
)
def test_a_cache_that_cannot_count_is_named(
    settings: Any, cache: dict[str, Any], expected: set[str]
) -> None:
    settings.CACHES = {"default": settings.CACHES["default"], "counting": cache}
    settings.RATELIMIT_USE_CACHE = "counting"
    assert ids() == expected


def test_a_cache_that_is_not_there_is_named(settings: Any) -> None:
    settings.RATELIMIT_USE_CACHE = "nowhere"
    assert "keys_app.E001" in ids()


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("RATELIMIT_ENABLE", False, "keys_app.E003"),
        ("RATELIMIT_FAIL_OPEN", True, "keys_app.E004"),
    ],
)
def test_switches_behind_our_options_are_refused(
    settings: Any, name: str, value: bool, expected: str
) -> None:
    setattr(settings, name, value)
    assert ids() == {expected}
