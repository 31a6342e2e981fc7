"""Metrics: labels of few values, whatever clients think of."""

from __future__ import annotations

import re

import pytest

from claudeapi.core.metrics import route
from tests.core.test_core_server import fetch
from tests.server_process import ALICE, ServerProcess


@pytest.mark.parametrize(
    ("pattern", "label"),
    [
        ("", "/"),
        ("^livez/?$", "/livez"),
        ("api/v1/^sessions/(?P<session_id>[^/.]+)/?$", "/api/v1/sessions/{session_id}"),
        ("admin/<path:object_id>/change/", "/admin/"),
        ("files/<int:number>", "/files/{number}"),
    ],
)
def test_a_url_pattern_is_a_readable_label(pattern: str, label: str) -> None:
    assert route(pattern) == label


def test_no_path_that_a_client_invents_becomes_a_label(server: ServerProcess) -> None:
    for where in ("/api/v1/sessions/JUNK/messages", "/api/v1/sessions/JUNK", "/JUNK", "/JUNK/x"):
        for key in ("JUNK", ALICE):
            fetch(server.url + where, {"prompt": "JUNK"}, **{"x-api-key": key})
            fetch(server.url + where, **{"x-api-key": key})
    text = fetch(f"{server.url}/metrics")[2].decode()
    routes = set(re.findall(r'claudeapi_requests_total{.*route="([^"]*)"', text))
    assert "/api/v1/sessions/{session_id}/messages" in routes
    assert "/api/v1/sessions/{session_id}" in routes
    assert "other" in routes
    assert "JUNK" not in text
