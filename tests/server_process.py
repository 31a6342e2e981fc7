"""A server of ours as users run it: a process of its own, over real sockets."""

from __future__ import annotations

import ctypes
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

from claudeapi.settings_table import TABLE

ROOT = Path(__file__).resolve().parent.parent
ALICE, BOB, MALLORY = "alice-0123456789abcdef", "bob-0123456789abcdef", "mallory-0123456789abcdef"
START_SECONDS = 300
STOP_SECONDS = 60
PR_SET_PDEATHSIG = 1


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """Nothing of the developer's own, but what the test says."""
    known = {setting.name for setting in TABLE}
    kept = {k: v for k, v in os.environ.items() if k not in known and "CLAUDE_" not in k}
    kept.pop("DJANGO_SETTINGS_MODULE", None)
    keys = {"CLAUDE_API_KEY_1": ALICE, "CLAUDE_API_KEY_2": BOB}
    # Most tests are about the API; an agent's process would cost each half a second.
    keys["DEFAULT_ENGINE"] = "messages"
    return {**kept, "DATA_DIR": str(data_dir), "PYTHONUNBUFFERED": "1", **keys, **variables}


def manage(*arguments: str, env: dict[str, str], check: bool = True) -> str:
    """Run one management command; its standard output and error together."""
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"manage.py {' '.join(arguments)} failed:\n{done.stdout}")
    return done.stdout


def _die_with_parent() -> None:
    """A suite that is killed must not leave servers behind (Linux: prctl(2))."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class ServerProcess:
    """`manage.py serve` on a free port; its output is kept."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env
        self.output: list[str] = []
        self._serving: queue.Queue[str | None] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", "0"],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        url = self._serving.get(timeout=START_SECONDS)
        if url is None:
            raise AssertionError("The server did not start:\n" + "".join(self.output))
        self.url = url

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            if found := re.search(r"Serving on http://\S+?:(\d+)", line):
                self._serving.put(f"http://127.0.0.1:{found[1]}")
        self._serving.put(None)

    @property
    def log(self) -> str:
        """Everything it has written."""
        return "".join(self.output)

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(seconds)
        self._reader.join(5)
        return code

    def stop(self) -> None:
        """End it, with all it started."""
        if self.process.poll() is None:
            self.signal()
            try:
                self.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.wait()


def copy_of(template: Path, target: Path) -> Path:
    """A data folder of its own, with the template's migrated database."""
    shutil.copytree(template, target, dirs_exist_ok=True)
    return target
