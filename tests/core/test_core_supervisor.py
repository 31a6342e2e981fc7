"""Several workers: what happens to the service when one of them ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.core.test_core_server import fetch, wait_until
from tests.server_process import ROOT

Start = Callable[[], "Supervised"]


class Supervised:
    """The program of `tests.core.supervised`."""

    def __init__(self, broken: Path, metrics: Path) -> None:
        env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(metrics)}
        env["DJANGO_SETTINGS_MODULE"] = "claudeapi.settings"
        env["DATA_DIR"] = str(metrics)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.core.supervised", str(broken)],
            cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"
        self.log: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.log.extend(self.process.stdout)

    def says(self, what: str, *, times: int) -> bool:
        return sum(what in line for line in self.log) >= times

    def who_answers(self) -> int:
        return int(fetch(self.url)[2])


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    return tmp_path / "broken"


@pytest.fixture
def start(broken: Path, tmp_path: Path) -> Iterator[Start]:
    started: list[Supervised] = []

    def one() -> Supervised:
        started.append(Supervised(broken, tmp_path))
        return started[-1]

    yield one
    for service in started:
        service.process.terminate()
        service.process.wait(20)


def test_a_worker_that_cannot_start_again_leaves_the_others_serving(
    start: Start, broken: Path
) -> None:
    service = start()
    wait_until(lambda: service.says("startup complete", times=2))
    victim = service.who_answers()
    broken.touch()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: service.says("worker_died", times=2))
    assert service.process.poll() is None
    other = service.who_answers()
    broken.unlink()
    wait_until(lambda: service.who_answers() not in (victim, other))


def test_what_a_dead_worker_had_open_is_no_longer_counted(start: Start, tmp_path: Path) -> None:
    service = start()
    victim = service.who_answers()
    (tmp_path / f"gauge_livesum_{victim}.db").touch()
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not list(tmp_path.glob("gauge_live*")))


def test_workers_that_cannot_start_at_all_end_the_service_with_a_failure(
    start: Start, broken: Path
) -> None:
    broken.touch()
    assert start().process.wait(30) == 3
