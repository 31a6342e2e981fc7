"""CORS: off, until origins are named."""

from __future__ import annotations

import aiohttp
import orjson

from claudeapi.core.cors import Cors
from tests.conftest import StartServer
from tests.core.serving import MAX_BODY, serving
from tests.core.test_core_edge import application
from tests.core.test_core_server import fetch
from tests.server_process import ServerProcess

ORIGIN = "https://app.example.com"


def test_without_named_origins_there_is_no_cors(server: ServerProcess) -> None:
    headers = fetch(f"{server.url}/api/v1/health", Origin=ORIGIN)[1]
    assert not [name for name in headers if name.startswith("access-control")]


def test_a_named_origin_may_read_our_headers_on_errors_too(start_server: StartServer) -> None:
    server = start_server(CORS_ALLOWED_ORIGINS=ORIGIN)
    for path in ("/api/v1/health", "/api/v1/sessions", "/api/nope"):
        headers = fetch(server.url + path, Origin=ORIGIN)[1]
        assert headers["access-control-allow-origin"] == ORIGIN
        for name in ("X-Request-ID", "X-RateLimit-Remaining", "Idempotency-Replayed"):
            assert name in headers["access-control-expose-headers"]
        other = fetch(server.url + path, Origin="https://evil.example")[1]
        assert "access-control-allow-origin" not in other


ASKED = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}


async def test_a_preflight_is_a_request_like_any_other() -> None:
    async with (
        serving(application, Cors((ORIGIN,))) as port,
        aiohttp.ClientSession(f"http://localhost:{port}") as http,
    ):
        async with http.options("/x", headers=ASKED) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
            assert "POST" in answer.headers["Access-Control-Allow-Methods"]
            assert "X-API-Key" in answer.headers["Access-Control-Allow-Headers"]
            assert answer.headers["X-Request-ID"]
        for foreign in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            async with http.options("/x", headers={**ASKED, **foreign}) as answer:
                assert answer.status == 400
                envelope = orjson.loads(await answer.read())
                assert envelope["requestId"] == answer.headers["X-Request-ID"]


async def test_a_page_may_read_why_its_request_was_refused_at_the_edge() -> None:
    async with (
        serving(application, Cors((ORIGIN,))) as port,
        aiohttp.ClientSession(f"http://localhost:{port}", headers={"Origin": ORIGIN}) as http,
    ):
        for path, body, status in (("/x", b"x" * (MAX_BODY + 1), 413), ("/fail", b"", 500)):
            async with http.post(path, data=body) as answer:
                assert answer.status == status
                assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
                assert answer.headers["Vary"] == "Origin"
