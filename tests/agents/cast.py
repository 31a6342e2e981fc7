"""What clients of an agent do over and over, and a look at its processes."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from tests.api.caller import Caller, Event, ServerDatabase, events_of, ok
from tests.server_process import ServerProcess

Opened = Callable[[ServerProcess], ServerDatabase]
PATIENCE = 60.0
"""Seconds that a wait may take before the test has failed."""


def tool(name: str, **arguments: Any) -> str:
    """A directive that lets the agent call a tool."""
    value = json.dumps(arguments).replace("'", "\\u0027")
    return f"[[sim tool name={name} input='{value}']]"


def bash(command: str) -> str:
    """A directive that lets the agent call Bash."""
    return tool("Bash", command=command)


def eventually(ask: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Ask again and again until there is an answer."""
    due = monotonic() + seconds
    while True:
        found = ask()
        if found:
            return found
        assert monotonic() < due, f"waited {seconds} s for {what}"
        sleep(0.05)  # what we wait for sends no signal


def open_approval(caller: Caller, session: str) -> dict[str, Any]:
    """The approval that the session's agent waits for, once it does."""
    path = f"{session}/approvals"
    rows = eventually(lambda: ok(caller.get(path))["approvals"], "an approval")
    found: dict[str, Any] = rows[0]
    return found


def answer(caller: Caller, session: str, **body: Any) -> dict[str, Any]:
    """Answer the next approval of the session."""
    row = open_approval(caller, session)
    decided: dict[str, Any] = ok(caller.post(f"{session}/approvals/{row['approvalId']}", body))
    return decided


def allow(caller: Caller, session: str, **body: Any) -> dict[str, Any]:
    """Say yes to it."""
    return answer(caller, session, decision="allow", **body)


@contextmanager
def asked(caller: Caller, session: str, prompt: str) -> Iterator[dict[str, Any]]:
    """A run that goes on while somebody answers; its row is in the dict at the end."""
    run = caller.background(session, prompt)
    yield run
    run.update(finished(caller, session, run["runId"]))


def finished(caller: Caller, session: str, run_id: str) -> dict[str, Any]:
    """The run once it has ended."""
    path = f"{session}/runs/{run_id}"

    def row() -> dict[str, Any] | None:
        found: dict[str, Any] = ok(caller.get(path))
        return found if found["finishedAt"] else None

    ended: dict[str, Any] = eventually(row, f"the end of {path}")
    return ended


def log(caller: Caller, session: str) -> list[dict[str, Any]]:
    """The session's whole log."""
    entries: list[dict[str, Any]] = []
    while True:
        after = entries[-1]["id"] if entries else 0
        page = ok(caller.get(f"{session}/events", after=after, limit=500))
        entries += page["events"]
        if not page["hasMore"]:
            return entries


def tool_results(caller: Caller, session: str) -> list[str]:
    """What the agent's tools said, in order."""
    page = ok(caller.get(f"{session}/messages", limit=1000))
    found = []
    for row in page["messages"]:
        content = row["content"].get("message", {}).get("content", "")
        for block in content if isinstance(content, list) else ():
            if block.get("type") == "tool_result":
                said = block["content"]
                found.append(said if isinstance(said, str) else said[0].get("text", ""))
    return found


def workspace(server: ServerProcess, caller: Caller, session: str) -> Path:
    """The session's own folder."""
    assert caller.key is not None
    key, name = str(caller.key.pk), session.rpartition("/")[2]
    return Path(server.env["DATA_DIR"]) / "workspaces" / key / name


def processes(marker: str) -> list[int]:
    """Ids of the living processes with this in their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        command, state = _process(name)
        if marker.encode() in command and state != "Z" and int(name) != os.getpid():
            found.append(int(name))
    return found


def agents_of(session: str) -> list[int]:
    """Ids of the CLI processes that serve a session, each counted once."""
    marker = session.rpartition("/")[2].encode()
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        command, state = _process(name)
        program, _, rest = command.partition(b"\0")
        if program.endswith(b"/claude") and marker in rest and state != "Z":
            found.append(int(name))
    return found


def _process(name: str) -> tuple[bytes, str]:
    try:
        command = Path(f"/proc/{name}/cmdline").read_bytes()
        state = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return b"", "Z"
    return command, state


def follow(caller: Caller, session: str) -> tuple[list[Event], threading.Thread]:
    """Read the session's events in the background, up to the end of a run."""
    seen: list[Event] = []

    def read() -> None:
        with caller.get(f"{session}/stream", stream=True, after=0, timeout=PATIENCE) as answer:
            for event in events_of(answer):
                seen.append(event)
                if event.name in ("complete", "error"):
                    return

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return seen, thread
