"""How much room there is for agents, on a machine and in a control group of it."""

from __future__ import annotations

from pathlib import Path

from sessions_app.engines.claude_code import memory


def machine(root: Path, **files: str) -> Path:
    for name, text in files.items():
        place = root / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return root


def test_without_a_bound_it_is_what_the_machine_has(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        proc__meminfo="MemTotal: 9000 kB\nMemAvailable:    1000 kB\n",
        proc__self__cgroup="0::/a\n",
    )
    (root / "sys/fs/cgroup/a").mkdir(parents=True)
    (root / "sys/fs/cgroup/a/memory.max").write_text("max\n")

    assert memory.available(root) == 1000 * 1024


def test_a_group_above_ours_may_leave_less(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        proc__meminfo="MemAvailable: 1000 kB\n",
        proc__self__cgroup="0::/a/b\n",
    )
    group = root / "sys/fs/cgroup/a"
    (group / "b").mkdir(parents=True)
    (group / "memory.max").write_text("5000\n")
    (group / "memory.current").write_text("4000\n")
    (group / "memory.stat").write_text("anon 1\ninactive_file 500\n")

    assert memory.available(root) == 1500


def test_a_system_that_does_not_say_bounds_nothing(tmp_path: Path) -> None:
    assert memory.available(tmp_path) is None
