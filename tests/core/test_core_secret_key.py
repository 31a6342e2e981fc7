"""The secret key: made once, by whoever comes first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from claudeapi.core.secret_key import kept_in


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    together = Barrier(8)

    def start(_: int) -> str:
        together.wait()
        return kept_in(tmp_path / "data")

    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(start, range(8)))
    assert len(keys) == 1
    assert len(keys.pop()) > 50
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["secret_key"]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    kept_in(tmp_path)
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
