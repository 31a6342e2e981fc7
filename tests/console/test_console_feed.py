"""The live feed of the front page, from a real server process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from tests.console.watching import PATIENCE, Operator
from tests.server_process import ServerProcess

FEED = "/admin/live/overview/"


@pytest.fixture
def viewer(console_server: ServerProcess) -> Iterator[Operator]:
    operator = Operator(console_server.url, "viewer")
    yield operator
    operator.http.close()


def test_two_watchers_see_a_session_come_and_a_run_end(
    console_server: ServerProcess, viewer: Operator, api: requests.Session
) -> None:
    other = Operator(console_server.url, "operator")
    with viewer.watch() as one, other.watch() as two:
        before = one.until("overview")
        sessions = f"{console_server.url}/api/v1/sessions"
        made = api.post(sessions, json={"engine": "messages"}, timeout=PATIENCE).json()
        path = f"{sessions}/{made['sessionId']}/messages"
        api.post(path, json={"prompt": "Hello"}, timeout=PATIENCE)
        wanted = {
            "sessions": before["sessions"] + 1,
            "runs_ended": before["runs_ended"] + 1,
            "running": 0,
        }
        seen = one.until("overview", **wanted)
        assert two.until("overview", **wanted)["tokens"] == seen["tokens"] > before["tokens"]
        assert seen["first_delta"]["p50"] > 0
        assert seen["upstream_kind"] == "simulator"
        assert [worker["alive"] for worker in seen["workers"]] == [True]


def test_a_stream_of_a_client_is_counted_at_the_next_heartbeat(
    console_server: ServerProcess, viewer: Operator, api: requests.Session
) -> None:
    sessions = f"{console_server.url}/api/v1/sessions"
    made = api.post(sessions, json={"engine": "messages"}, timeout=PATIENCE).json()
    path = f"{sessions}/{made['sessionId']}/stream"
    with viewer.watch() as feed, api.get(path, stream=True, timeout=PATIENCE):
        assert feed.until("overview", streams=1)["memory"] > 0


def test_the_feed_ends_when_its_watcher_signs_out(viewer: Operator) -> None:
    with viewer.watch() as feed:
        feed.until("overview")
        viewer.post("/admin/logout/")
        assert feed.until("signed-out") == {"code": "MISSING_API_KEY"}
        assert list(feed.events) == []


def test_the_feed_needs_a_sign_in(console_server: ServerProcess) -> None:
    answer = requests.get(console_server.url + FEED, timeout=PATIENCE)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "MISSING_API_KEY"


def test_a_key_of_the_api_is_no_sign_in(
    console_server: ServerProcess, api: requests.Session
) -> None:
    assert api.get(console_server.url + FEED, timeout=PATIENCE).status_code == 401


def test_every_page_has_a_policy_without_exceptions(
    console_server: ServerProcess, viewer: Operator
) -> None:
    for path in ("/admin/", "/admin/service/", "/admin/login/", "/admin/nothing/here/"):
        answer = viewer.http.get(console_server.url + path, timeout=PATIENCE)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy


def test_the_switch_reaches_watchers_and_clients(
    console_server: ServerProcess, viewer: Operator, api: requests.Session
) -> None:
    operator = Operator(console_server.url, "operator")
    sessions = f"{console_server.url}/api/v1/sessions"
    made = api.post(sessions, json={"engine": "messages"}, timeout=PATIENCE).json()
    path = f"{sessions}/{made['sessionId']}/messages"
    with viewer.watch() as feed:
        operator.post("/admin/service/", state="paused", reason="Moving house", sure="on")
        try:
            told = feed.until(
                "overview",
                service={"state": "paused", "reason": "Moving house", "by": "operator"},
            )
            refused = api.post(path, json={"prompt": "Hello"}, timeout=PATIENCE)
            ready = requests.get(f"{console_server.url}/readyz", timeout=PATIENCE)
        finally:
            operator.post("/admin/service/", state="running")
        assert told["sessions"] > 0
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "DRAINING")
        assert (ready.status_code, ready.json()["checks"]["service"]) == (200, "paused")
        feed.until("overview", service={"state": "running", "reason": "", "by": "operator"})
    assert api.post(path, json={"prompt": "Hello"}, timeout=PATIENCE).status_code == 200
