"""A browser's part in a live feed, without a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import requests

from tests.console.staging import PASSWORD

PATIENCE = 60


class Operator:
    """Somebody signed in to the console of a server process."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.http = requests.Session()
        self.post("/admin/login/", username=name, password=PASSWORD)

    def post(self, path: str, **fields: str) -> requests.Response:
        """Send a form, with its token."""
        page = f"{self.url}{path}" if path == "/admin/login/" else f"{self.url}/admin/two-factor/"
        self.http.get(page, timeout=PATIENCE)
        token = self.http.cookies["claudeapi_csrf"]
        return self.http.post(
            f"{self.url}{path}", {**fields, "csrfmiddlewaretoken": token}, timeout=PATIENCE
        )

    def watch(self, path: str = "/admin/live/overview/") -> Feed:
        """Open a feed."""
        return Feed(self.http.get(f"{self.url}{path}", stream=True, timeout=PATIENCE))


class Feed:
    """The events of a feed; a silence longer than `PATIENCE` fails the test."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response
        # One for all calls: a second one would find the first one's response closed.
        self.events = self._events()

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()

    def _events(self) -> Iterator[tuple[str, Any]]:
        """Name and data, until the server ends the feed."""
        name = ""
        for line in self.response.iter_lines(chunk_size=1):
            text = line.decode()
            if text.startswith("event: "):
                name = text.removeprefix("event: ")
            elif text.startswith("data: "):
                yield name, json.loads(text.removeprefix("data: "))

    def until(self, name: str, **wanted: Any) -> Any:
        """The data of the first such event that has these values."""
        for found, data in self.events:
            if found == name and all(data.get(key) == value for key, value in wanted.items()):
                return data
        raise AssertionError(f"the feed ended without {name} {wanted}")
