"""Several workers, kept alive: one that cannot start again must not end the others."""

from __future__ import annotations

import os
import socket
from time import monotonic

import structlog
import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from claudeapi.worker import DrainingServer

LONGEST_PAUSE_SECONDS = 30.0

logger = structlog.get_logger(__name__)


class Worker(multiprocess.Process):
    """One of several server processes.

    Attributes:
        failures: how many before it, in a row, failed to start.
        due: when its successor shall start; None while it lives.
    """

    failures = 0
    due: float | None = None

    @property
    def server(self) -> uvicorn.Server:
        """The draining server, made in the child."""
        if self._server is None:
            self._server = DrainingServer(self.config)
            self._server.parent = os.getppid()
        return self._server


# uvicorn's supervisor makes its workers by this name; there is no other way in.
multiprocess.Process = Worker  # type: ignore[misc]


class Supervisor(multiprocess.Multiprocess):
    """uvicorn's, but for a worker that fails to start.

    At the first start the configuration is at fault, and the service ends with `failed`. Later
    it is the database or Redis, and the worker is tried again and again, more and more slowly,
    while the others serve.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        super().__init__(config, sockets)
        self.failed = False
        self._has_served = False
        self._counted: set[int | None] = set()

    def init_processes(self) -> None:
        """Start the first workers."""
        super().init_processes()
        self._counted = {worker.pid for worker in self.processes}

    def keep_subprocess_alive(self) -> None:
        """Twice a second: replace whoever is gone."""
        for at, worker in enumerate(self.processes):
            assert isinstance(worker, Worker)
            if worker.due is None and self._is_alive(worker):
                continue
            if worker.due is None:
                worker.due = self._bury(worker)
            if self.failed or self.should_exit.is_set():
                return
            if monotonic() >= worker.due:
                self.processes[at] = self._successor(worker)
        self._forget_the_gone()

    def _is_alive(self, worker: Worker) -> bool:
        seconds = self.config.timeout_worker_healthcheck
        if not worker.is_alive(seconds):
            return False
        self._has_served = self._has_served or worker.is_ready(seconds)
        return True

    def _bury(self, worker: Worker) -> float:
        """End it for good; when its successor shall start."""
        worker.kill()
        worker.join()
        pause = 0.0
        if worker.exitcode == STARTUP_FAILURE:
            pause = min(2.0**worker.failures, LONGEST_PAUSE_SECONDS)
            if not self._has_served:
                self.failed = True
                self.should_exit.set()
        logger.error("worker_died", pid=worker.pid, exit_code=worker.exitcode, pause=pause)
        return monotonic() + pause

    def _successor(self, dead: Worker) -> Worker:
        worker = Worker(self.config, self.sockets)
        worker.failures = dead.failures + 1 if dead.exitcode == STARTUP_FAILURE else 0
        worker.start()
        return worker

    def _forget_the_gone(self) -> None:
        """What only the living count, such as open streams, goes with them."""
        living = {one.pid for one in self.processes if getattr(one, "due", None) is None}
        for pid in self._counted - living:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]
        self._counted = living
