"""Workspaces: where an agent may work, and where not."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from claudeapi.core import trees
from claudeapi.core.errors import InvalidRequest, PolicyDenied
from sessions_app.engines.claude_code.sandbox import Bubblewrap
from sessions_app.engines.claude_code.workspaces import Folders, Workspaces
from tests.conftest import require_program
from tests.rights import as_a_common_user


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root" / "project").mkdir(parents=True)
    (tmp_path / "rootless").mkdir()
    return tmp_path / "root"


@pytest.fixture
def workspaces(tmp_path: Path) -> Workspaces:
    return Workspaces(tmp_path / "data", protected=[tmp_path / "server"])


def test_a_folder_inside_a_root_is_allowed(workspaces: Workspaces, root: Path) -> None:
    for cwd in (root, root / "project", root / "project" / ".." / "project"):
        found = workspaces.resolve(str(cwd), key_id="alice", roots=[str(root)])
        assert found.is_relative_to(root)


@pytest.mark.parametrize("cwd", ["..", "../rootless", "link", "/", "/etc", "../data"])
def test_a_folder_outside_the_roots_is_denied(workspaces: Workspaces, root: Path, cwd: str) -> None:
    (root / "link").symlink_to(root.parent / "rootless")

    with pytest.raises(PolicyDenied) as denied:
        workspaces.resolve(str(root / cwd), key_id="alice", roots=[str(root)])

    assert denied.value.details["allowed"] == [str(root)]


@pytest.mark.parametrize("roots", [["/"], []])
def test_the_servers_own_files_are_denied_whatever_the_roots(
    workspaces: Workspaces, tmp_path: Path, roots: list[str]
) -> None:
    workspaces.prepare("bob", "session")
    for cwd in ("data", "data/workspaces", "data/workspaces/bob", "data/workspaces/bob/session"):
        with pytest.raises(PolicyDenied):
            workspaces.resolve(str(tmp_path / cwd), key_id="alice", roots=roots)
    (tmp_path / "server").mkdir()
    for cwd in (tmp_path / "server", tmp_path, Path("/")):
        with pytest.raises(PolicyDenied):
            workspaces.resolve(str(cwd), key_id="alice", roots=roots)


def test_a_workspace_of_the_same_key_is_allowed(workspaces: Workspaces) -> None:
    work = workspaces.prepare("alice", "session").work

    assert workspaces.resolve(str(work), key_id="alice", roots=[]) == work
    with pytest.raises(PolicyDenied):
        workspaces.resolve(str(work.parent), key_id="alice", roots=[])


def test_a_root_that_lies_in_another_root_can_be_made_a_link_and_leads_nowhere(
    workspaces: Workspaces, root: Path
) -> None:
    (root / "inner").symlink_to("/etc")

    with pytest.raises(PolicyDenied):
        workspaces.resolve(
            str(root / "inner"), key_id="alice", roots=[str(root), str(root / "inner")]
        )


def test_a_workspace_is_found_by_its_name_and_never_through_a_link(
    workspaces: Workspaces, tmp_path: Path
) -> None:
    work = workspaces.prepare("alice", "session").work
    (work / "sub").mkdir()
    (work / "link").symlink_to(tmp_path)

    assert workspaces.workspace_at("alice", work / "sub") == "session/sub"
    assert workspaces.prepare("alice", "other", workspace="session/sub").work == work / "sub"
    for name in ("session/link", "session/none", "session/..", "session/sub/../.."):
        with pytest.raises(InvalidRequest):
            workspaces.prepare("alice", "other", workspace=name)


def test_a_folder_that_changes_between_the_look_and_the_start_is_not_worked_in(
    workspaces: Workspaces, tmp_path: Path, root: Path
) -> None:
    """The attack: allowed as a folder, a link when bubblewrap follows the path."""
    program = require_program("bwrap")
    inside = workspaces.prepare("alice", "session").work / "sub"
    inside.mkdir()
    for place, wanted in (
        (inside, {"workspace": "session/sub"}),
        (root / "project", {"cwd": str(root / "project"), "roots": [str(root)]}),
    ):
        folders = workspaces.prepare("alice", "other", **wanted)  # type: ignore[arg-type]
        assert seen_in(folders, program).returncode == 0
        place.rename(place.parent / "away")
        place.symlink_to("/etc")

        seen = seen_in(folders, program)

        assert seen.returncode == 1
        assert (seen.stdout, "has moved" in seen.stderr) == ("", True)


def seen_in(
    folders: Folders, program: str, *command: str, hidden: Iterable[Path] = ()
) -> subprocess.CompletedProcess[str]:
    """What a command sees that is started as an agent would be."""
    sandbox = Bubblewrap(program, folders.config.parent, hidden)
    jail = sandbox.jail(folders, Path("/bin/true"), Path("/dev/null"))
    command = command or ("ls", "-a")
    return subprocess.run([*jail.command, *command], capture_output=True, text=True, check=False)


def test_a_link_planted_in_tmp_makes_nothing_on_the_host(
    workspaces: Workspaces, tmp_path: Path
) -> None:
    """The attack: with a data folder below /tmp, bubblewrap makes the mounts' folders there."""
    folders, program = workspaces.prepare("alice", "session"), require_program("bwrap")
    assert seen_in(folders, program).returncode == 0
    (tmp_path / "victim").mkdir()
    first = folders.work.parts[2] if folders.work.parts[1] == "tmp" else "data"
    trees.remove(folders.temp / first)
    (folders.temp / first).symlink_to(f"/oldroot{tmp_path}/victim")

    folders = workspaces.prepare("alice", "session")

    assert seen_in(folders, program).returncode == 0
    assert list((tmp_path / "victim").iterdir()) == []


def test_an_agent_has_only_so_many_processes_and_so_much_shared_memory(
    workspaces: Workspaces,
) -> None:
    folders, program = workspaces.prepare("alice", "session"), require_program("bwrap")

    seen = seen_in(folders, program, "bash", "-c", "ulimit -Hu; df --output=size /dev/shm")

    assert seen.stdout.split() == ["2048", "1K-blocks", str(256 << 10)]


def test_devices_can_be_used_and_no_files_be_kept_beside_them(workspaces: Workspaces) -> None:
    """The attack: the folder of the devices is in memory, and takes half of it."""
    folders, program = workspaces.prepare("alice", "session"), require_program("bwrap")
    terminal = "import os; os.write(os.openpty()[1], b'a terminal')"
    command = (
        "head -c 9 /dev/urandom | tee /dev/null /dev/shm/file | wc -c; "
        f'python3 -c "{terminal}" && echo done; touch /dev/file'
    )

    seen = seen_in(folders, program, "bash", "-c", command)

    assert seen.stdout.split() == ["9", "done"]
    assert "Read-only file system" in seen.stderr


def test_a_data_folder_below_usr_is_hidden(workspaces: Workspaces) -> None:
    folders, program = workspaces.prepare("alice", "session"), require_program("bwrap")
    data = Workspaces(Path("/usr/share"))

    assert seen_in(folders, program, "ls", "/usr/share").stdout
    assert (
        seen_in(folders, program, "ls", "/usr/share", hidden=data.protected).stdout
        == "workspaces\n"
    )


@pytest.mark.parametrize("cwd", ["relative", "", "/a\0b", "/" + "x" * 5000])
def test_what_is_no_path_is_invalid(workspaces: Workspaces, cwd: str) -> None:
    with pytest.raises(InvalidRequest):
        workspaces.resolve(cwd, key_id="alice", roots=["/"])


def test_a_folder_that_does_not_exist_is_invalid(workspaces: Workspaces, root: Path) -> None:
    with pytest.raises(InvalidRequest):
        workspaces.resolve(str(root / "nowhere"), key_id="alice", roots=[str(root)])


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden", "a\0"])
def test_an_id_cannot_lead_out(workspaces: Workspaces, name: str) -> None:
    with pytest.raises(InvalidRequest):
        workspaces.prepare("alice", name)
    with pytest.raises(InvalidRequest):
        workspaces.remove(name, "session")


def test_sizes_are_measured_and_everything_is_removed(
    workspaces: Workspaces, tmp_path: Path
) -> None:
    folders = workspaces.prepare("alice", "session")
    outside = tmp_path / "outside"
    outside.write_bytes(b"x" * 1_000_000)
    (folders.work / "file").write_bytes(b"x" * 100_000)
    (folders.work / "link").symlink_to(outside)
    (folders.home / "file").write_bytes(b"x" * 100_000)

    assert 200_000 <= workspaces.size("alice", "session", 1 << 30) < 400_000
    assert workspaces.size("alice", "session", 1000) > 1000
    workspaces.remove("alice", "session")
    assert workspaces.size("alice", "session", 1 << 30) == 0
    assert outside.exists()


def test_what_an_agent_has_shut_is_opened_and_counted(workspaces: Workspaces) -> None:
    with as_a_common_user():
        folders = workspaces.prepare("alice", "session")
        (folders.work / "file").write_bytes(b"x" * 100_000)
        for folder in (folders.work, folders.config, folders.home, folders.temp):
            folder.chmod(0)

        assert workspaces.size("alice", "session", 1 << 30) > 100_000
        assert workspaces.prepare("alice", "session").work == folders.work
        for folder in (folders.work, folders.config, folders.home, folders.temp):
            assert folder.stat().st_mode & 0o777 == 0o700


def test_what_cannot_be_removed_is_told(
    workspaces: Workspaces, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = workspaces.prepare("alice", "session").work

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(trees, "remove", refuse)
    workspaces.remove_work("alice", "session")

    assert caplog.messages == ["claude_code.folder_not_removed"]
    assert caplog.records[0].folder == str(work)  # type: ignore[attr-defined]


def test_folders_are_private(workspaces: Workspaces) -> None:
    folders = workspaces.prepare("alice", "session")

    for folder in (folders.work, folders.config, folders.home, folders.temp, folders.prompts):
        assert folder.stat().st_mode & 0o777 == 0o700
