"""Keys for streams and sockets: the same door, from an ASGI scope."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from claudeapi.core.errors import (
    InsufficientScope,
    InvalidApiKey,
    IpNotAllowed,
    MissingApiKey,
    PolicyDenied,
    RateLimitExceeded,
)
from keys_app import asgi, limits, scopes
from keys_app.asgi import admit, still_live
from keys_app.models import ApiKey
from keys_app.resolved import RESOLVED

pytestmark = pytest.mark.django_db(transaction=True)


def asked(*headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": "/api/v1/sessions/1/stream",
        "client": ("192.0.2.7", 4711),
        "headers": list(headers),
        **more,
    }


def carrying(text: str) -> tuple[bytes, bytes]:
    return b"x-api-key", text.encode()


async def test_a_stream_is_admitted_and_counted_once(alice: Any) -> None:
    key, state = await admit(asked(carrying(alice.text)), needs=scopes.SESSIONS_READ)
    assert key == alice.key
    assert (state.limit, state.remaining) == (1000, 999)


async def test_a_key_seen_a_moment_ago_is_admitted_without_a_thread(
    alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_thread(*_: Any) -> None:
        pytest.fail("a thread was used")

    await admit(asked(carrying(alice.text)), needs=scopes.SESSIONS_READ)
    monkeypatch.setattr(asgi, "in_db", no_thread)
    key, state = await admit(asked(carrying(alice.text)), needs=scopes.SESSIONS_READ)
    assert (key, state.remaining) == (alice.key, 998)
    with pytest.raises(InsufficientScope) as refused:
        await admit(asked(carrying(alice.text)), needs=scopes.ADMIN)
    assert refused.value.response_headers()["X-RateLimit-Remaining"] == "997"


async def test_the_use_of_a_key_seen_a_moment_ago_is_noted_when_that_is_due(
    alice: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await admit(asked(carrying(alice.text)), needs=scopes.SESSIONS_READ)
    await ApiKey.objects.aupdate(last_used_at=None)
    monkeypatch.setattr(RESOLVED, "_touched", OrderedDict())
    await admit(asked(carrying(alice.text)), needs=scopes.SESSIONS_READ)
    assert (await ApiKey.objects.aget()).last_used_at is not None


@pytest.mark.parametrize("seen_before", [False, True])
async def test_what_is_refused_is_refused_whether_or_not_it_was_seen_before(
    issue: Any, seen_before: bool
) -> None:
    key, text = await sync_to_async(issue)(allowed_ips=["192.0.2.7"])
    if seen_before:
        await admit(asked(carrying(text)), needs=scopes.SESSIONS_READ)
    elsewhere = asked(carrying(text), client=("198.51.100.1", 1))
    with pytest.raises(IpNotAllowed):
        await admit(elsewhere, needs=scopes.SESSIONS_READ)
    await sync_to_async(key.revoke)()
    with pytest.raises(InvalidApiKey):
        await admit(asked(carrying(text)), needs=scopes.SESSIONS_READ)
    with pytest.raises(MissingApiKey):
        await admit(asked(), needs=scopes.SESSIONS_READ)


async def test_where_no_key_is_needed_a_stream_is_anonymous(configure: Any) -> None:
    configure(auth={"enabled": False})
    for _ in range(2):
        key, _state = await admit(asked(), needs=scopes.SESSIONS_READ)
        assert key.source == "anonymous"


@pytest.mark.parametrize("seen_before", [False, True])
async def test_without_keys_pages_of_other_origins_send_nothing_by_a_get(
    configure: Any, seen_before: bool
) -> None:
    configure(auth={"enabled": False})
    if seen_before:
        await admit(asked(), needs=scopes.SESSIONS_READ)
    page = asked((b"origin", b"https://evil.example"), (b"sec-fetch-site", b"cross-site"))
    with pytest.raises(PolicyDenied) as refused:
        await admit(page, needs=scopes.SESSIONS_WRITE)
    assert refused.value.details == {
        "field": "Origin", "requested": "https://evil.example", "allowed": [],
    }  # fmt: skip
    await admit(page, needs=scopes.SESSIONS_READ)
    await admit(asked((b"sec-fetch-site", b"same-origin")), needs=scopes.SESSIONS_WRITE)
    await admit(asked(), needs=scopes.SESSIONS_WRITE)


async def test_a_key_may_send_by_a_get_from_anywhere(alice: Any) -> None:
    page = asked(carrying(alice.text), (b"origin", b"https://evil.example"))
    for _ in range(2):
        assert (await admit(page, needs=scopes.SESSIONS_WRITE))[0] == alice.key


async def test_a_missing_scope_is_refused_with_the_rate_headers(alice: Any) -> None:
    with pytest.raises(InsufficientScope) as refused:
        await admit(asked(carrying(alice.text)), needs=scopes.ADMIN)
    assert refused.value.response_headers()["X-RateLimit-Remaining"] == "999"


async def test_rest_and_streams_share_one_count(issue: Any) -> None:
    key, text = await sync_to_async(issue)(rate_limit=2)
    await sync_to_async(limits.hit)(key)
    await admit(asked(carrying(text)), needs=scopes.SESSIONS_READ)
    with pytest.raises(RateLimitExceeded):
        await admit(asked(carrying(text)), needs=scopes.SESSIONS_READ)


async def test_a_header_sent_twice_with_different_keys_is_refused(alice: Any) -> None:
    scope = asked(carrying(alice.text), carrying("another"))
    with pytest.raises(InvalidApiKey):
        await admit(scope, needs=scopes.SESSIONS_READ)


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe", "schl\N{LATIN SMALL LETTER U WITH DIAERESIS}ssel".encode()]
)
async def test_bytes_that_are_not_ascii_are_an_invalid_key(raw: bytes) -> None:
    with pytest.raises(InvalidApiKey):
        await admit(asked((b"x-api-key", raw)), needs=scopes.SESSIONS_READ)


async def test_a_socket_without_a_client_address_is_admitted(alice: Any) -> None:
    scope = asked(carrying(alice.text), type="websocket", client=None)
    del scope["method"]
    assert (await admit(scope, needs=scopes.SESSIONS_READ))[0] == alice.key


async def test_an_open_stream_notices_that_its_key_was_revoked(alice: Any) -> None:
    assert await still_live(alice.key.pk)
    await sync_to_async(alice.key.revoke)()
    assert not await still_live(alice.key.pk)
