"""The server as a process: its start, its upstream, its end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from tests.conftest import StartServer
from tests.server_process import ALICE, ROOT, ServerProcess, environment, manage


def fetch(url: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(url, headers=headers)
    if body is not None:
        request.data = orjson.dumps(body)
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, lowered(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, lowered(error.headers), error.read()


def lowered(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        os.sched_yield()


def simulator_url(server: ServerProcess) -> str:
    found = re.search(r"built-in simulator at (http://\S+),", server.log)
    assert found, server.log
    return found[1]


def is_open(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def processes_listening(url: str) -> list[int]:
    port = int(url.rpartition(":")[2])
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    inodes = {
        f"socket:[{cells[9]}]"
        for cells in map(str.split, lines)
        if cells[3] == "0A" and int(cells[1].partition(":")[2], 16) == port
    }
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) in inodes:
                found.add(int(link.parts[2]))
        except OSError:
            continue
    return sorted(found)


def test_every_page_of_the_project_answers_with_a_slash_or_without(server: ServerProcess) -> None:
    for path in ("livez", "readyz", "metrics", "api/schema", "api/docs", "api/redoc"):
        for url in (f"{server.url}/{path}", f"{server.url}/{path}/"):
            status, headers, body = fetch(url)
            assert status == 200, (url, body)
            assert headers["x-request-id"]
            assert int(headers["content-length"]) == len(body)


def test_the_documentation_needs_no_outside_host(server: ServerProcess) -> None:
    for page in ("docs", "redoc"):
        html = fetch(f"{server.url}/api/{page}/")[2].decode()
        links = re.findall(r'(?:src|href)="([^"]+)"', html)
        assert links
        for link in links:
            assert link.startswith("/static/"), link
            assert fetch(server.url + link)[0] == 200
    assert fetch(f"{server.url}/admin/login/")[0] == 200


def test_static_files_are_only_those_of_the_packages(server: ServerProcess) -> None:
    for path in ("nope.css", "../settings.py", "%2e%2e/settings.py", "", "admin"):
        status, _, body = fetch(f"{server.url}/static/{path}")
        assert (status, orjson.loads(body)["error"]["code"]) == (404, "NOT_FOUND"), path


def test_unknown_paths_and_methods_get_the_envelope(server: ServerProcess) -> None:
    for path in ("/nope", "/api/nope", "/api/v1/nope", "/api/v1", "/ws/v1/x"):
        for body in (None, {"a": 1}):
            status, _, answer = fetch(server.url + path, body)
            assert (status, orjson.loads(answer)["error"]["code"]) == (404, "NOT_FOUND"), path
    status, headers, answer = fetch(f"{server.url}/livez", {})
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert orjson.loads(answer)["error"]["code"] == "METHOD_NOT_ALLOWED"


def test_without_credentials_it_says_that_a_simulator_answers(server: ServerProcess) -> None:
    assert server.log.count("built-in simulator") == 1
    assert is_open(simulator_url(server))


def test_nobody_reads_in_the_built_in_simulator_what_others_have_said(
    server: ServerProcess,
) -> None:
    simulator = simulator_url(server)
    assert fetch(f"{simulator}/sim/requests")[0] == 404
    assert fetch(f"{simulator}/healthz")[0] == 200
    for path in ("healthz", "v1/models"):
        for host in ("evil.example", "[", "localhost.evil.example:80"):
            assert fetch(f"{simulator}/{path}", Host=host)[0] == 403


def test_with_credentials_there_is_no_simulator(start_server: StartServer) -> None:
    server = start_server(ANTHROPIC_API_KEY="sk-ant-api03-never-used")
    assert "simulator" not in server.log
    assert orjson.loads(fetch(f"{server.url}/readyz")[2])["checks"]["upstream"] == "ok"


def test_ctrl_c_ends_it_cleanly_with_its_simulator(start_server: StartServer) -> None:
    server = start_server()
    simulator = simulator_url(server)
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.wait(20) == 0
    assert "Traceback" not in server.log
    wait_until(lambda: not is_open(simulator))


def test_sigterm_ends_it_with_success(start_server: StartServer) -> None:
    server = start_server()
    server.signal(signal.SIGTERM)
    assert server.wait(20) == 0


def test_a_simulator_that_died_comes_back_at_its_address(start_server: StartServer) -> None:
    server = start_server()
    simulator = simulator_url(server)
    [pid] = processes_listening(simulator)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "simulator_died" in server.log)
    wait_until(lambda: is_open(simulator))
    assert processes_listening(simulator) != [pid]


def test_a_server_that_was_killed_leaves_no_simulator(start_server: StartServer) -> None:
    server = start_server()
    simulator = simulator_url(server)
    server.signal(signal.SIGKILL)
    wait_until(lambda: not is_open(simulator))


def test_runs_in_progress_finish_while_it_drains(start_server: StartServer) -> None:
    server = start_server(DRAIN_TIMEOUT="20")
    key = {"x-api-key": ALICE}
    sessions = f"{server.url}/api/v1/sessions"
    session = orjson.loads(fetch(sessions, {"engine": "messages"}, **key)[2])["sessionId"]
    request = urllib.request.Request(
        f"{sessions}/{session}/messages",
        data=orjson.dumps({"prompt": "[[sim slow n=40 delay=50ms]]", "stream": True}),
        headers={**key, "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as stream:
        while b"stream_event" not in stream.readline():
            continue
        server.signal(signal.SIGTERM)
        wait_until(lambda: fetch(f"{server.url}/readyz")[0] == 503)
        status, _, answer = fetch(f"{sessions}/{session}/messages", {"prompt": "more"}, **key)
        assert status in (409, 503), answer
        rest = stream.read()
    assert b"event: complete" in rest
    assert server.wait(20) == 0


def test_a_second_ctrl_c_ends_it_at_once(start_server: StartServer) -> None:
    server = start_server(DRAIN_TIMEOUT="60")
    key = {"x-api-key": ALICE}
    sessions = f"{server.url}/api/v1/sessions"
    session = orjson.loads(fetch(sessions, {"engine": "messages"}, **key)[2])["sessionId"]
    prompt = {"prompt": "[[sim slow n=2000 delay=50ms]]", "background": True}
    assert fetch(f"{sessions}/{session}/messages", prompt, **key)[0] == 202
    server.signal(signal.SIGINT)
    wait_until(lambda: fetch(f"{server.url}/readyz")[0] == 503)
    server.signal(signal.SIGINT)
    assert server.wait(15) == 0


def test_a_port_in_use_is_named(start_server: StartServer, migrated: Path) -> None:
    server = start_server()
    port = server.url.rpartition(":")[2]
    output = manage("serve", env=environment(migrated, PORT=port), check=False)
    assert f"Cannot listen on 127.0.0.1:{port}" in output
    assert "Traceback" not in output


def test_bootstrap_prints_an_operator_and_a_key_once(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    env = environment(data_dir)
    first = manage("bootstrap", env=env)
    assert re.search(r"API key +capi_\w{12}_\w+", first)
    assert re.search(r"Password +\S{20,}", first)
    assert manage("bootstrap", env=env) == ""
    assert data_dir.stat().st_mode & 0o777 == 0o700
    for name in ("secret_key", "db.sqlite3"):
        assert (data_dir / name).stat().st_mode & 0o777 == 0o600, name


def _hears_ctrl_c() -> None:
    """As from a terminal: what a shell starts in the background inherits that it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_daphne_serves_the_same_with_a_simulator(migrated: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = environment(migrated, PORT=str(port))
    process = subprocess.Popen(
        [sys.executable, "manage.py", "runserver", "--noreload"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_hears_ctrl_c,
    )
    try:
        wait_until(lambda: is_open(f"http://127.0.0.1:{port}"), 40)
        status, headers, body = fetch(f"http://127.0.0.1:{port}/readyz")
        assert status == 200, body
        assert headers["x-request-id"]
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert "built-in simulator" in output
