"""From credentials to a key: who gets in, and what the others are told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from claudeapi.core.errors import (
    InvalidApiKey,
    IpNotAllowed,
    MissingApiKey,
    PolicyDenied,
    RateLimitExceeded,
)
from keys_app import auth, tokens
from keys_app.models import ApiKey, Source
from keys_app.resolved import RESOLVED

pytestmark = pytest.mark.django_db

IP = "192.0.2.7"
PATH = "/api/v1/sessions"


def test_a_key_is_proved_by_its_text(alice: Any) -> None:
    assert auth.resolve(alice.text, IP) == alice.key


@pytest.mark.parametrize(
    "headers",
    [
        lambda text: {"x-api-key": text},
        lambda text: {"authorization": f"Bearer {text}"},
        lambda text: {"authorization": f"bearer   {text} "},
        lambda text: {"x-api-key": text, "authorization": f"Bearer {text}"},
        lambda text: {"x-api-key": text, "authorization": "Basic cHJveHk6eA=="},
    ],
)
def test_both_headers_are_understood(alice: Any, headers: Callable[[str], Any]) -> None:
    assert auth.identify(headers(alice.text), "GET", PATH, IP) == alice.key


@pytest.mark.parametrize(
    "headers", [{}, {"x-api-key": " "}, {"authorization": "Bearer "}, {"authorization": "Basic x"}]
)
def test_no_credentials_are_named_as_missing(headers: dict[str, str]) -> None:
    with pytest.raises(MissingApiKey) as refused:
        auth.identify(headers, "GET", PATH, IP)
    assert refused.value.response_headers()["WWW-Authenticate"].startswith("Bearer")


def test_two_different_keys_in_one_request_are_refused(alice: Any, issue: Any) -> None:
    headers = {"x-api-key": alice.text, "authorization": f"Bearer {issue('Bob').text}"}
    with pytest.raises(InvalidApiKey):
        auth.identify(headers, "GET", PATH, IP)


def test_every_useless_key_gets_the_same_answer(alice: Any, issue: Any) -> None:
    expired, revoked = issue("Bob"), issue("Mallory")
    ApiKey.objects.filter(pk=expired.key.pk).update(expires_at=timezone.now())
    revoked.key.revoke()
    answers = set()
    for text in (
        "junk", "capi_", "\xff" * 67, "x" * 100_000, tokens.mint().text, expired.text,
        revoked.text, tokens.mint(alice.key.public_id).text, alice.text[:-1], f"{alice.text} x",
    ):  # fmt: skip
        with pytest.raises(InvalidApiKey) as refused:
            auth.resolve(text, IP)
        answers.add((refused.value.message, str(refused.value.response_headers())))
    assert len(answers) == 1


def test_junk_is_refused_without_a_query(alice: Any, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0), pytest.raises(InvalidApiKey):
        auth.resolve(alice.text[:-1] + "?", IP)


@pytest.mark.parametrize("known", [True, False])
def test_a_known_and_an_unknown_id_cost_one_query_each(
    alice: Any, django_assert_num_queries: Any, known: bool
) -> None:
    guess = tokens.mint(alice.key.public_id if known else None).text
    with django_assert_num_queries(1), pytest.raises(InvalidApiKey):
        auth.resolve(guess, IP)


@pytest.mark.parametrize(
    ("ranges", "ip", "allowed"),
    [
        ([], "203.0.113.1", True),
        (["192.0.2.0/24"], "192.0.2.200", True),
        (["192.0.2.0/24"], "192.0.3.1", False),
        (["192.0.2.0/24"], "::ffff:192.0.2.200", True),
        (["192.0.2.7"], "192.0.2.7", True),
        (["2001:db8::/32"], "2001:db8:1::5", True),
        (["2001:db8::/32"], "2001:db9::5", False),
        (["2001:db8::/32", "10.0.0.0/8"], "10.1.2.3", True),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["0.0.0.0/0"], "", False),
        (["0.0.0.0/0"], "testclient", False),
    ],
)
def test_a_key_works_from_its_address_ranges_only(
    issue: Any, ranges: list[str], ip: str, allowed: bool
) -> None:
    text = issue(allowed_ips=ranges).text
    if allowed:
        assert auth.resolve(text, ip)
    else:
        with pytest.raises(IpNotAllowed):
            auth.resolve(text, ip)


def test_failures_of_an_address_are_limited_and_its_valid_keys_pass(alice: Any) -> None:
    for _ in range(30):
        with pytest.raises(InvalidApiKey):
            auth.resolve("junk", IP)
    with pytest.raises(RateLimitExceeded) as refused:
        auth.resolve("junk", IP)
    assert 1 <= (refused.value.retry_after or 0) <= 300
    assert auth.resolve(alice.text, IP) == alice.key
    with pytest.raises(InvalidApiKey):
        auth.resolve("junk", "192.0.2.8")


def test_an_ipv6_site_is_one_address_to_the_limiter() -> None:
    for number in range(30):
        with pytest.raises(InvalidApiKey):
            auth.resolve("junk", f"2001:db8:0:1::{number:x}")
    with pytest.raises(RateLimitExceeded):
        auth.resolve("junk", "2001:db8:0:1:ffff::1")
    with pytest.raises(InvalidApiKey):
        auth.resolve("junk", "2001:db8:0:2::1")


def test_missing_credentials_do_not_count_as_failures() -> None:
    for _ in range(40):
        with pytest.raises(MissingApiKey):
            auth.resolve(None, IP)
    with pytest.raises(InvalidApiKey):
        auth.resolve("junk", IP)


def test_the_old_secret_works_beside_the_new_one_for_the_overlap(alice: Any) -> None:
    new = alice.key.rotate(timedelta(hours=1))
    assert auth.resolve(alice.text, IP) == auth.resolve(new, IP) == alice.key
    ApiKey.objects.update(previous_valid_until=timezone.now())
    RESOLVED.forget(alice.key.pk)
    with pytest.raises(InvalidApiKey):
        auth.resolve(alice.text, IP)
    assert auth.resolve(new, IP) == alice.key


def test_a_second_rotation_ends_the_oldest_secret(alice: Any) -> None:
    second = alice.key.rotate(timedelta(hours=1))
    third = alice.key.rotate(timedelta(hours=1))
    assert auth.resolve(second, IP) == auth.resolve(third, IP)
    with pytest.raises(InvalidApiKey):
        auth.resolve(alice.text, IP)


def test_with_auth_off_everybody_is_anonymous(configure: Any, alice: Any) -> None:
    configure(auth={"enabled": False})
    key = auth.identify({"x-api-key": alice.text}, "POST", PATH, IP)
    assert key.source == Source.ANONYMOUS
    assert "admin" not in key.scopes
    assert auth.identify({}, "GET", PATH, IP) == key


@pytest.mark.parametrize(
    ("method", "headers", "refused"),
    [
        ("POST", {}, False),
        ("POST", {"origin": "https://evil.example"}, True),
        ("POST", {"origin": "null"}, True),
        ("POST", {"sec-fetch-site": "cross-site"}, True),
        ("POST", {"sec-fetch-site": "same-site", "origin": "http://localhost:8000"}, True),
        ("POST", {"sec-fetch-site": "same-origin", "origin": "http://localhost:3050"}, False),
        ("POST", {"origin": "http://localhost:3050"}, False),
        ("POST", {"sec-fetch-site": "cross-site", "origin": "https://listed.example"}, False),
        ("WEBSOCKET", {"origin": "https://evil.example"}, True),
        ("GET", {"origin": "https://evil.example"}, False),
    ],
)
def test_without_keys_pages_of_other_origins_change_nothing(
    configure: Any, settings: Any, method: str, headers: dict[str, str], refused: bool
) -> None:
    configure(auth={"enabled": False})
    settings.OPTIONS = replace(settings.OPTIONS, cors_allowed_origins=("https://listed.example",))
    auth.anonymous()
    headers = {"host": "localhost:3050", **headers}
    assert (auth.remembered(headers, method, PATH, IP) is None) is refused
    with pytest.raises(PolicyDenied) if refused else nullcontext():
        assert auth.identify(headers, method, PATH, IP).source == Source.ANONYMOUS


def test_an_open_route_takes_no_key_a_good_key_but_not_a_bad_one(
    configure: Any, alice: Any
) -> None:
    configure(auth={"require_auth": ("POST /sessions",)})
    assert auth.identify({}, "GET", PATH, IP).source == Source.ANONYMOUS
    assert auth.identify({"x-api-key": alice.text}, "GET", PATH, IP) == alice.key
    with pytest.raises(InvalidApiKey):
        auth.identify({"x-api-key": "junk"}, "GET", PATH, IP)
    with pytest.raises(MissingApiKey):
        auth.identify({}, "POST", PATH, IP)


def test_nobody_can_name_the_anonymous_key() -> None:
    auth.anonymous()
    with pytest.raises(InvalidApiKey):
        auth.resolve("anonymous", IP)


def test_use_is_noted_with_its_address_at_most_once_a_minute(
    alice: Any, django_assert_num_queries: Any
) -> None:
    auth.resolve(alice.text, IP)
    alice.key.refresh_from_db()
    first = alice.key.last_used_at
    assert first is not None
    assert alice.key.last_used_ip == IP
    with django_assert_num_queries(0):
        auth.resolve(alice.text, "192.0.2.8")
    assert not alice.key.touch("192.0.2.8")
    ApiKey.objects.update(last_used_at=first - timedelta(minutes=1))
    assert alice.key.touch("192.0.2.8")
