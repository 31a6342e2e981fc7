"""The outermost layer over real sockets: ids, hosts, bounds, and the last error handler."""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from uuid import UUID

import aiohttp
import orjson
import pytest

from claudeapi.core import http_protocol
from claudeapi.core.access_log import note
from claudeapi.core.asgi_types import Receive, Scope, Send
from claudeapi.core.errors import ApiError, NotFound, Unavailable
from claudeapi.core.request_id import request_id_var
from tests.core.serving import MAX_BODY, exchange, serving

HEAD = b"POST /x HTTP/1.1\r\nHost: localhost\r\n"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads the whole body and says how long it was; fails where the path says so."""
    if scope["path"] == "/fail":
        raise RuntimeError("a secret of the house")
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    note(session="s1")
    await send({"type": "http.response.start", "status": 200, "headers": []})
    body = f"{size} {request_id_var.get()}".encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if scope["path"] == "/fail-late":
        raise RuntimeError("a secret of the house")
    await send({"type": "http.response.body", "body": b""})


async def socket_application(scope: Scope, receive: Receive, send: Send) -> None:
    """Fails before or after it has accepted."""
    await receive()
    if scope["path"] == "/early":
        raise RuntimeError("a secret of the house")
    await send({"type": "websocket.accept"})
    raise RuntimeError("a secret of the house")


def error_of(answer: bytes) -> tuple[int, dict[str, Any]]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/json" in head
    envelope = orjson.loads(body)
    assert set(envelope) == {"error", "timestamp", "requestId"}
    assert f"x-request-id: {envelope['requestId']}".encode() in head
    return int(head.split()[1]), envelope["error"]


async def test_a_request_id_is_taken_over_or_made() -> None:
    async with serving(application) as port, aiohttp.ClientSession() as http:
        for given, kept in (("ab-1._Z", True), ("a b", False), ("x" * 129, False), ("é", False)):
            async with http.get(
                f"http://localhost:{port}/", headers={"X-Request-ID": given}
            ) as answer:
                request_id = answer.headers["X-Request-ID"]
                assert (await answer.text()).split()[1] == request_id
            assert (request_id == given) is kept
            assert kept or UUID(request_id)


async def test_requests_of_one_connection_share_no_id() -> None:
    async with serving(application) as port, aiohttp.ClientSession() as http:
        ids = set()
        for _ in range(3):
            async with http.get(f"http://localhost:{port}/") as answer:
                ids.add((await answer.text()).split()[1])
    assert len(ids) == 3


@pytest.mark.parametrize("host", [b"evil.example", b"localhost.evil.example", b"", b"a b"])
async def test_a_foreign_host_is_refused(host: bytes) -> None:
    async with serving(application) as port:
        answer = await exchange(port, b"GET /x HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    status, error = error_of(answer)
    assert (status, error["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize("path", [b"/livez", b"/livez/", b"/readyz", b"/readyz/"])
async def test_probes_may_come_by_any_name(path: bytes) -> None:
    async with serving(application) as port:
        answer = await exchange(
            port, b"GET %b HTTP/1.1\r\nHost: 10.1.2.3\r\nConnection: close\r\n\r\n" % path
        )
    assert b" 200 " in answer


async def test_a_body_is_refused_by_its_length_before_it_is_read() -> None:
    async with serving(application) as port:
        answer = await exchange(port, HEAD + b"Content-Length: 999999999999\r\n\r\n", end=True)
    status, error = error_of(answer)
    assert (status, error["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert error["details"] == {"maxBytes": MAX_BODY}


async def test_a_client_that_sends_all_of_a_large_body_first_still_gets_the_answer() -> None:
    size = 20 * 2**20
    async with serving(application) as port:
        answer = await exchange(
            port, HEAD + f"Content-Length: {size}\r\n\r\n".encode(), b"x" * size
        )
    assert error_of(answer)[0] == 413


async def test_a_chunked_body_is_counted() -> None:
    chunk = b"190\r\n" + b"x" * 400 + b"\r\n"
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    async with serving(application) as port:
        refused = await exchange(port, head, chunk, chunk, chunk, b"0\r\n\r\n")
        accepted = await exchange(
            port, head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), chunk, b"0\r\n\r\n"
        )
    assert error_of(refused)[0] == 413
    assert b"400 " in accepted


async def test_a_body_of_just_the_bound_is_read() -> None:
    body = b"x" * MAX_BODY
    async with (
        serving(application) as port,
        aiohttp.ClientSession() as http,
        http.post(f"http://localhost:{port}/", data=body) as answer,
    ):
        assert (await answer.text()).startswith(f"{MAX_BODY} ")


async def test_an_uncaught_error_is_a_500_that_tells_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(application) as port:
        answer = await exchange(port, HEAD.replace(b"/x", b"/fail") + b"\r\n")
    status, error = error_of(answer)
    assert (status, error["code"]) == (500, "INTERNAL_ERROR")
    assert b"secret" not in answer
    assert b"RuntimeError" not in answer
    assert "unhandled_exception" in caplog.text


async def test_an_error_in_the_middle_of_an_answer_cuts_it() -> None:
    async with serving(application) as port:
        answer = await exchange(port, HEAD.replace(b"/x", b"/fail-late") + b"\r\n")
    assert b" 200 " in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert b"secret" not in answer


async def test_one_line_a_request_with_its_ids_and_without_its_query(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "claudeapi.access")
    async with serving(application) as port, aiohttp.ClientSession() as http:
        headers = {"X-Request-ID": "r-1"}
        async with http.get(f"http://localhost:{port}/p?prompt=hello", headers=headers) as answer:
            await answer.read()
    [line] = [r.msg for r in caplog.records if r.name == "claudeapi.access"]
    assert isinstance(line, dict)
    assert (line["method"], line["path"], line["status"]) == ("GET", "/p", 200)
    assert (line["request_id"], line["session"]) == ("r-1", "s1")
    assert "hello" not in str(line)


async def test_a_websocket_to_a_foreign_host_is_told_so_and_closed() -> None:
    async with (
        serving(socket_application) as port,
        aiohttp.ClientSession(headers={"Host": "evil.example"}) as http,
        http.ws_connect(f"http://localhost:{port}/") as socket,
    ):
        frame = await socket.receive_json(timeout=5)
        closed = await socket.receive(timeout=5)
    assert frame["event"] == "error"
    assert frame["data"]["error"]["code"] == "INVALID_REQUEST"
    assert closed.data == 4400


@pytest.mark.parametrize("path", ["/early", "/late"])
async def test_a_websocket_that_fails_is_closed_and_told_nothing(path: str) -> None:
    async with (
        serving(socket_application) as port,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"http://localhost:{port}{path}") as socket,
    ):
        messages = [await socket.receive(timeout=5)]
        while messages[-1].type is aiohttp.WSMsgType.TEXT:
            messages.append(await socket.receive(timeout=5))
    assert messages[-1].data == 1011
    assert "secret" not in str(messages)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_what_is_no_http_request_of_ours_gets_the_envelope(request_bytes: bytes) -> None:
    async with serving(application) as port:
        answer = await exchange(port, request_bytes)
    assert error_of(answer)[0] == 400


async def test_headers_that_do_not_end_in_time_end_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_protocol, "HEADER_SECONDS", 0.05)
    whole = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serving(application) as port:
        assert await exchange(port, b"GET / HT") == b""
        # The second request of a connection has no more time than the first.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(whole + b"GET / HTTP/1.1\r\nHo")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert answer.count(b"HTTP/1.1 200") == 1


async def test_a_body_that_does_not_come_ends_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.05)
    async with serving(application) as port:
        assert await exchange(port, HEAD + b"Content-Length: 900\r\n\r\n" + b"x" * 899) == b""


async def test_a_body_that_keeps_coming_has_all_the_time_it_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_protocol, "BODY_SECONDS", 0.2)
    monkeypatch.setattr(http_protocol, "BODY_BYTES", 1)
    began = asyncio.get_running_loop().time()
    async with serving(application) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Connection: close\r\nContent-Length: 12\r\n\r\n")
        for _ in range(12):
            await asyncio.sleep(0.05)  # the time it takes is what is tried
            writer.write(b"x")
        answer = await asyncio.wait_for(reader.read(), 5)
        writer.close()
    assert asyncio.get_running_loop().time() - began > 0.5
    assert b"\r\n12 " in answer


@pytest.mark.parametrize(
    ("method", "header", "status"),
    [
        (b"GET", b"Sec-WebSocket-Key: short", 400),
        (b"GET", b"X: no key at all", 400),
        (b"POST", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", 405),
    ],
)
async def test_a_handshake_that_is_none_gets_the_envelope(
    method: bytes, header: bytes, status: int
) -> None:
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    head = method + b" /x HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: ws-1\r\n" + upgrade
    async with serving(socket_application) as port:
        answer = await exchange(port, head + header + b"\r\n\r\n")
    assert error_of(answer)[0] == status
    assert b"x-request-id: ws-1" in answer


async def test_the_acceptance_of_a_websocket_has_the_request_id() -> None:
    async with (
        serving(socket_application) as port,
        aiohttp.ClientSession(headers={"X-Request-ID": "ws-1"}) as http,
        http.ws_connect(f"http://localhost:{port}/late") as socket,
    ):
        assert socket._response.headers["X-Request-ID"] == "ws-1"


@pytest.mark.parametrize(("error", "code"), [(Unavailable(), 1012), (NotFound(), 4404)])
async def test_a_websocket_is_closed_with_the_code_of_its_error(error: ApiError, code: int) -> None:
    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        raise error

    async with (
        serving(refusing) as port,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"http://localhost:{port}/") as socket,
    ):
        frame = await socket.receive_json(timeout=5)
        assert frame["data"]["error"]["code"] == error.code
        assert (await socket.receive(timeout=5)).data == code
