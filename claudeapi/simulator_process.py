"""The built-in simulator as a child process, for servers without upstream credentials."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from dataclasses import replace
from types import TracebackType

import structlog
from django.conf import settings

from claudeapi import conf

START_SECONDS = 30
URL_VARIABLE = "SIMULATOR_URL"
ANNOUNCEMENT = "simulator listening on "

NOTICE = (
    "No ANTHROPIC_API_KEY is set: replies come from the built-in simulator at {url}, "
    "not from Claude."
)

logger = structlog.get_logger(__name__)


class SimulatorFailed(Exception):
    """The simulator did not start."""


def is_needed() -> bool:
    """Whether there is no upstream but a simulator that nobody has started."""
    upstream = conf.options().upstream
    return upstream.kind == "simulator" and not upstream.base_url


class SimulatorProcess:
    """Runs the simulator while the `with` block lasts, and starts it again if it dies.

    Its address goes to `SIMULATOR_URL`, for this process and the workers it starts.
    """

    def __init__(self) -> None:
        self.url = ""
        self._stopping = threading.Event()
        self._process = self._launch("0")

    def __enter__(self) -> SimulatorProcess:
        """Wait until it listens.

        Raises:
            SimulatorFailed: it ended, or said nothing in time.
        """
        self.url = self._announced(self._process)
        os.environ[URL_VARIABLE] = self.url
        upstream = replace(conf.options().upstream, base_url=self.url)
        settings.OPTIONS = replace(conf.options(), upstream=upstream)
        threading.Thread(target=self._keep, name="simulator", daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it."""
        self._stopping.set()
        os.environ.pop(URL_VARIABLE, None)
        self._process.terminate()
        self._process.wait()

    def _launch(self, port: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "simulator"),
                *("--port", port, "--exit-with-parent", "--built-in"),
            ],
            cwd=settings.BASE_DIR,
            # It ends when this pipe closes, however this process ends.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C is for the server, whose runs in progress still need an upstream.
            start_new_session=True,
        )

    def _announced(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        line = process.stdout.readline() if ready else ""
        if not line.startswith(ANNOUNCEMENT):
            process.kill()
            raise SimulatorFailed("The built-in simulator did not start; its output is above.")
        return line.removeprefix(ANNOUNCEMENT).strip()

    def _keep(self) -> None:
        """Wait for its end; while that is not asked for, start it again at the same port."""
        port = self.url.rpartition(":")[2]
        while True:
            code = self._process.wait()
            if self._stopping.wait(0.5):
                return
            logger.error("simulator_died", exit_code=code, restarting_at=self.url)
            self._process = self._launch(port)
            try:
                self._announced(self._process)
            except SimulatorFailed:
                logger.exception("simulator_failed")
