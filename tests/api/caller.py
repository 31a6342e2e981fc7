"""A client of the API as an outsider would write one, and a hand in the server's database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

import requests
from django.db import connections
from pytest_django import DjangoDbBlocker

from claudeapi.core.database_url import database
from keys_app import tokens
from keys_app.models import ApiKey

BASE = "/api/v1"
NOWHERE = "00000000-0000-4000-8000-000000000000"
SECONDS = 60


class Event(NamedTuple):
    """One event of a stream."""

    id: int | None
    name: str
    data: Any


class Caller:
    """Somebody with a key; paths are below `/api/v1`, or absolute after `//`."""

    def __init__(self, url: str, text: str | None, key: ApiKey | None = None) -> None:
        self.url = url
        self.text = text
        self.key = key
        self._http = requests.Session()
        self._http.trust_env = False

    def __call__(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        data: Any = None,
        headers: dict[str, str] | None = None,
        stream: bool = False,
        timeout: float = SECONDS,
        **query: Any,
    ) -> requests.Response:
        """Send one request."""
        own = {"x-api-key": self.text} if self.text else {}
        where = path[1:] if path.startswith("//") else BASE + path
        return self._http.request(
            method,
            self.url + where,
            params=query,
            json=json,
            data=data,
            headers={**own, **(headers or {})},
            stream=stream,
            timeout=timeout,
            allow_redirects=False,
        )

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return self("GET", path, **kwargs)

    def post(self, path: str, json: Any = None, **kwargs: Any) -> requests.Response:
        return self("POST", path, {} if json is None else json, **kwargs)

    def session(self, **fields: Any) -> str:
        """A new session's path."""
        return f"/sessions/{created(self.post('/sessions', fields))['sessionId']}"

    def say(self, session: str, prompt: Any = "Hello", **fields: Any) -> dict[str, Any]:
        """Send a message and wait for the reply."""
        return ok(self.post(f"{session}/messages", {"prompt": prompt, **fields}))

    def background(self, session: str, prompt: str, **fields: Any) -> dict[str, Any]:
        """Start a run that nobody waits for."""
        answer = self.post(f"{session}/messages", {"prompt": prompt, "background": True, **fields})
        assert answer.status_code == 202, answer.text
        accepted: dict[str, Any] = answer.json()
        return accepted

    def finished(self, session: str, run_id: str) -> dict[str, Any]:
        """The run once it has ended: its stream ends then."""
        with self("GET", f"{session}/stream", stream=True, after=0) as answer:
            if answer.status_code == 200:
                for event in events_of(answer):
                    if event.name in ("complete", "error") and event.data["runId"] == run_id:
                        break
        return ok(self.get(f"{session}/runs/{run_id}"))


def ok(answer: requests.Response) -> Any:
    """The body of a 200."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def created(answer: requests.Response) -> Any:
    """The body of a 201."""
    assert answer.status_code == 201, answer.text
    return answer.json()


def refused(answer: requests.Response, status: int, code: str) -> dict[str, Any]:
    """The `error` of an envelope, which is looked at from all sides."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text[:500]}"
    body = answer.json()
    assert set(body) == {"error", "timestamp", "requestId"}, body
    assert set(body["error"]) == {"code", "message", "details"}, body
    assert body["error"]["code"] == code, body
    assert body["requestId"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    error: dict[str, Any] = body["error"]
    return error


def wrong_fields(answer: requests.Response) -> set[str]:
    """The fields a 400 names."""
    return set(refused(answer, 400, "INVALID_REQUEST")["details"]["fields"])


def events_of(answer: requests.Response) -> Iterator[Event]:
    """The events of an SSE answer, as the standard says to read them."""
    fields: dict[str, str] = {}
    due = monotonic() + SECONDS
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        assert monotonic() < due, "this stream does not end"
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            number = int(fields["id"]) if "id" in fields else None
            yield Event(number, fields.get("event", "message"), json.loads(fields["data"]))
            fields = {}


def all_at_once(calls: int, act: Any) -> list[Any]:
    """What `act(number)` gives, called in that many threads."""
    with ThreadPoolExecutor(calls) as pool:
        return list(pool.map(act, range(calls)))


class ServerDatabase:
    """The database of a server process, through the ORM."""

    def __init__(self, blocker: DjangoDbBlocker, alias: str, url: str | None, folder: Path) -> None:
        self._blocker = blocker
        self.alias = alias
        made = {**connections["default"].settings_dict, **database(url, folder, 2)}
        connections.databases[alias] = {**made, "TEST": {}}

    @contextmanager
    def open(self) -> Iterator[str]:
        """The alias to use, while pytest-django allows it."""
        with self._blocker.unblock():
            try:
                yield self.alias
            finally:
                connections[self.alias].close()

    def issue(self, name: str, **fields: Any) -> tuple[ApiKey, str]:
        """A key of this server."""
        token = tokens.mint()
        key = ApiKey(name=name, public_id=token.id, secret_hash=tokens.digest(token.text), **fields)
        with self.open() as alias:
            key.save(using=alias, force_insert=True)
        return key, token.text

    def drop(self) -> None:
        """Forget it."""
        connections[self.alias].close()
        del connections.databases[self.alias]
