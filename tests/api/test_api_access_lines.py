"""The access line of a request tells whose it was, and of which session."""

from __future__ import annotations

from typing import Any

import orjson

from tests.core.test_core_server import fetch, wait_until
from tests.server_process import ALICE, ServerProcess

SESSION = "6a2f0a76-9f35-4f6e-9f5c-0a4a6b1d2c3d"


def lines_of(server: ServerProcess, request_id: str) -> list[dict[str, Any]]:
    found = [line for line in server.log.splitlines() if f'"{request_id}"' in line]
    return [line for line in map(orjson.loads, found) if line["event"] == "request"]


def test_rest_and_streams_name_key_session_and_route(server: ServerProcess) -> None:
    for request_id, tail in (("line-rest", ""), ("line-runs", "/runs"), ("line-sse", "/stream")):
        headers = {"x-api-key": ALICE, "X-Request-ID": request_id}
        assert fetch(f"{server.url}/api/v1/sessions/{SESSION}{tail}", **headers)[0] == 404
        wait_until(lambda name=request_id: bool(lines_of(server, name)))
        [line] = lines_of(server, request_id)
        assert line["key"].startswith("env_")
        assert line["session"] == SESSION
        assert line["route"] == f"/api/v1/sessions/{{session_id}}{tail}"
