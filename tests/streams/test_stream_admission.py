"""Who may not come in is told so before the body is there."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.core.serving import exchange
from tests.server_process import ServerProcess

PATH = "/api/v1/sessions/6a2f0a76-9f35-4f6e-9f5c-0a4a6b1d2c3d"


@pytest.mark.parametrize("route", ["messages", "stream"])
async def test_a_caller_without_a_key_is_refused_at_the_first_byte(
    server: ServerProcess, route: str
) -> None:
    head = (
        f"POST {PATH}/{route} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Content-Type: application/json\r\nContent-Length: 10000000\r\n\r\n{"
    )
    answer = await exchange(urlsplit(server.url).port or 0, head.encode())
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"MISSING_API_KEY" in answer


async def test_a_body_that_grows_too_large_is_refused_in_the_middle(server: ServerProcess) -> None:
    head = (
        f"POST {PATH}/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        "x-api-key: alice-0123456789abcdef\r\nContent-Type: application/json\r\n\r\n"
    )
    chunk = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
    answer = await exchange(urlsplit(server.url).port or 0, head.encode(), *[chunk] * 12)
    assert answer.startswith(b"HTTP/1.1 413 ")
