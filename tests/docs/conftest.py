"""A server with room for many requests, and what the documents say, read once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from tests.server_process import ALICE, ROOT, ServerProcess, copy_of, environment

ROOMY = {
    "DEFAULT_ENGINE": "messages",
    "RATE_LIMIT_MAX_REQUESTS": "1000000",
    "MAX_SESSIONS": "100000",
}


@pytest.fixture(scope="session")
def server(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for all tests of the documents."""
    data_dir = copy_of(migrated, tmp_path_factory.mktemp("server"))
    process = ServerProcess(environment(data_dir, **ROOMY))
    yield process
    process.stop()


class Api:
    """Alice's requests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()
        self.http.headers["x-api-key"] = ALICE

    def call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        return self.http.request(method, f"{self.url}/api/v1{path}", timeout=30, **arguments)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.ok, answer.text
        return answer.json()

    def post(self, path: str, **body: Any) -> Any:
        answer = self.call("POST", path, json=body)
        assert answer.ok, answer.text
        return answer.json()

    def new_session(self, **body: Any) -> str:
        return str(self.post("/sessions", **body)["sessionId"])


@pytest.fixture(scope="session")
def api(server: ServerProcess) -> Api:
    return Api(server.url)


@pytest.fixture(scope="session")
def openapi() -> dict[str, Any]:
    """The committed document."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
    return found
