"""Where agents work: a folder per session, or a folder inside an allowed root."""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from claudeapi.core import beneath, trees
from claudeapi.core.errors import InvalidRequest, PolicyDenied, Unavailable

log = logging.getLogger(__name__)

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one session's processes, all 0700. They may write to all but `prompts`.

    All but `work` are empty when a process starts: it would load what the one before has left.

    Attributes:
        work: the working folder: the session's own, or one inside an allowed root.
        config: Claude Code's own files, the local copy of the transcript among them.
        home, temp: private; `temp` is `/tmp` inside the sandbox.
        prompts: what we write for them to read.
        held: `work`, open for as long as this object lives: no other can be taken for it.
    """

    work: Path
    config: Path
    home: Path
    temp: Path
    prompts: Path
    held: int

    @property
    def identity(self) -> str:
        """What `stat -c %d:%i` says in the working folder, and in no other."""
        facts = os.fstat(self.held)
        return f"{facts.st_dev}:{facts.st_ino}"

    @property
    def there(self) -> bool:
        """Whether all are still in their places, and not removed below a live process."""
        try:
            same = os.path.samestat(os.stat(self.work), os.fstat(self.held))
        except OSError:
            return False
        others = (self.config, self.home, self.temp, self.prompts)
        return same and all(folder.is_dir() for folder in others)

    def __del__(self) -> None:
        os.close(self.held)


class Workspaces:
    """The folders of all sessions under one data folder.

    A session's working folder has a name below those of its key, its `workspace`: its own is
    the session's id. Another session may carry on there, or in a folder below.

    Args:
        data_dir: the server's data folder.
        protected: further folders of the server's own that no agent may work in.
    """

    def __init__(self, data_dir: Path, protected: Iterable[Path] = ()) -> None:
        self._data = data_dir.resolve()
        self._works = (self._data / "workspaces").resolve()
        self._agents = self._data / "agents"
        others = (folder.resolve() for folder in protected)
        self.protected = (self._data, self._works, *others)

    @property
    def data_dir(self) -> Path:
        """The server's data folder, resolved."""
        return self._data

    def private(self, key_id: str, session_id: str) -> Path:
        """The session's own working folder; it need not exist yet."""
        return self._of_key(key_id) / _plain(session_id)

    def prepare(
        self,
        key_id: str,
        session_id: str,
        *,
        workspace: str = "",
        cwd: str = "",
        roots: Sequence[str] = (),
    ) -> Folders:
        """Make the folders of a session, which works in its own unless told otherwise.

        Args:
            workspace: the name of the folder to work in below those of the key.
            cwd: a folder inside a root, see `resolve`.

        No process of the session may be alive.

        Raises:
            InvalidRequest, PolicyDenied: the folder to work in is not there or not allowed.
            Unavailable: what an earlier process has left cannot be removed.
        """
        agent = self._agents / _plain(session_id)
        _emptied(agent)
        names = ("config", "home", "tmp", "prompts")
        config, home, temp, prompts = (_made(agent / name) for name in names)
        if cwd:
            held = self._hold(cwd, key_id, roots)
        else:
            held = self.open_workspace(key_id, workspace or session_id)
        return Folders(beneath.place(held), config, home, temp, prompts, held)

    def open_workspace(self, key_id: str, workspace: str) -> int:
        """Open a working folder by its name; a session's own is made where there is none.

        Raises:
            InvalidRequest: there is no such folder below it.
        """
        own, *below = workspace.split("/")
        root = _made(self.private(key_id, own))
        try:
            return beneath.walk(root, below, beneath.own)
        except OSError as error:
            raise InvalidRequest.field("cwd", "there is no such folder.") from error

    def resolve(self, cwd: str, *, key_id: str, roots: Sequence[str]) -> Path:
        """The real folder behind a requested `cwd`.

        Args:
            cwd: an absolute path.
            roots: folders that the key's policy allows.

        Raises:
            InvalidRequest: it is not an absolute path, or there is no such folder.
            PolicyDenied: it lies outside the roots (links followed), or touches the
                server's own files or another key's.
        """
        held = self._hold(cwd, key_id, roots)
        try:
            return beneath.place(held)
        finally:
            os.close(held)

    def _hold(self, cwd: str, key_id: str, roots: Sequence[str]) -> int:
        """Open it first, then decide: a path may lead elsewhere at any moment."""
        if not cwd.startswith("/") or "\0" in cwd or len(cwd) > 4096:
            raise InvalidRequest.field("cwd", "must be an absolute path.")
        real, held = Path(os.path.realpath(cwd)), None
        try:
            held = beneath.hold(real)
            real = beneath.place(held)
        except OSError:
            pass  # whether it is there is only told of what is allowed
        if not self._allowed(real, key_id, roots):
            if held is not None:
                os.close(held)
            raise PolicyDenied.value("cwd", cwd, list(roots))
        if held is None:
            raise InvalidRequest.field("cwd", "there is no such folder.")
        return held

    def _allowed(self, real: Path, key_id: str, roots: Sequence[str]) -> bool:
        if self.workspace_at(key_id, real):
            return True
        if any(_touch(real, folder) for folder in self.protected):
            return False
        return any(real.is_relative_to(os.path.realpath(root)) for root in _outermost(roots))

    def workspace_at(self, key_id: str, folder: Path) -> str:
        """The name of a folder below the key's own; empty for any other."""
        own = self._of_key(key_id)
        return str(folder.relative_to(own)) if own in folder.parents else ""

    def size(
        self,
        key_id: str,
        session_id: str,
        limit: int,
        workspace: str = "",
        *,
        at_start: bool = False,
    ) -> int:
        """Bytes on disk in the session's own folders; just over the limit is enough to know.

        Args:
            workspace: the folder it works in; all of the session's that it is of is counted.
            at_start: count only what a process that is about to start would find.
        """
        counted = [self.private(key_id, workspace.partition("/")[0] or session_id)]
        if not at_start:
            counted.append(self._agents / _plain(session_id))
        return trees.size(counted, limit)

    def copy(self, key_id: str, workspace: str, to_key: str, to_session: str, limit: int) -> None:
        """Give a session that is to be a copy of a working folder.

        Raises:
            PolicyDenied: it is larger than the limit.
            Unavailable: there is no room, or something is wrong with the disk.
        """
        try:
            self._copy(key_id, workspace, to_key, to_session, limit)
        except trees.TooMuch as error:
            raise too_large(limit + 1, limit) from error
        except OSError as error:
            log.exception("claude_code.folder_not_copied", extra={"folder": to_session})
            raise _impossible("The session's files cannot be copied.", error) from error

    def _copy(self, key_id: str, workspace: str, to_key: str, to_session: str, limit: int) -> None:
        if not self.private(key_id, workspace.partition("/")[0]).is_dir():
            return  # nothing was said there yet
        source = self.open_workspace(key_id, workspace)
        try:
            target = self.open_workspace(to_key, to_session)
            try:
                trees.copy(source, target, limit)
            finally:
                os.close(target)
        finally:
            os.close(source)

    def remove(self, key_id: str, session_id: str) -> None:
        """Delete everything of a session; a folder in an allowed root is left alone."""
        self.remove_work(key_id, session_id)
        self.remove_agent(session_id)

    def remove_work(self, key_id: str, session_id: str) -> None:
        """Delete a session's own working folder."""
        _remove(self.private(key_id, session_id))

    def remove_agent(self, session_id: str) -> None:
        """Delete the agent's own files: its settings, home and temporary folder."""
        _remove(self._agents / _plain(session_id))

    def agents(self) -> list[str]:
        """The ids of the sessions whose agents have left files on this machine."""
        return os.listdir(self._agents) if self._agents.is_dir() else []

    def keys(self) -> list[str]:
        """The ids of the keys whose sessions have working folders."""
        return os.listdir(self._works) if self._works.is_dir() else []

    def works(self, key_id: str, before: datetime) -> list[str]:
        """The names of a key's working folders whose own entries have not changed since a moment.

        That time is one that no agent can set.
        """
        folder = self._of_key(key_id)
        return [name for name in os.listdir(folder) if _changed(folder / name) < before.timestamp()]

    def _of_key(self, key_id: str) -> Path:
        return self._works / _plain(key_id)


def too_large(size: int, limit: int) -> PolicyDenied:
    """The refusal of what takes too much, with the ways out."""
    return PolicyDenied.value(
        "workspaceBytes",
        size,
        limit,
        f"the session's folders hold more than the {limit:,} bytes that WORKSPACE_QUOTA_BYTES "
        "allows. Begin a new session, or let the operator remove files or raise the limit.",
    )


def _made(folder: Path) -> Path:
    """A folder of ours, open to us whatever an agent has done to its rights."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(beneath.own(folder))
    return folder


def _emptied(folder: Path) -> None:
    try:
        trees.remove(folder)
    except OSError as error:
        log.exception("claude_code.folder_not_removed", extra={"folder": str(folder)})
        message = "What an earlier agent of this session has left cannot be removed."
        raise _impossible(message, error) from error


def _impossible(message: str, error: OSError) -> Unavailable:
    """What the machine does not let us do, without saying where."""
    return Unavailable(message, details={"reason": error.strerror or type(error).__name__})


def _remove(folder: Path) -> None:
    try:
        trees.remove(folder)
    except OSError:
        log.exception("claude_code.folder_not_removed", extra={"folder": str(folder)})


def _changed(folder: Path) -> float:
    try:
        return folder.lstat().st_ctime
    except FileNotFoundError:
        return math.inf  # somebody else has removed it


def _touch(one: Path, other: Path) -> bool:
    """Whether one of two folders contains the other."""
    return one.is_relative_to(other) or other.is_relative_to(one)


def _outermost(roots: Sequence[str]) -> Iterator[str]:
    """The roots that lie in no other: those that do could be made links by an agent."""
    plain = {root: Path(os.path.normpath(root)) for root in roots}
    for root, path in plain.items():
        if not any(other in path.parents for other in plain.values()):
            yield root


def _plain(name: str) -> str:
    """An id that is safe as the name of a folder."""
    if not _PLAIN.fullmatch(name):
        raise InvalidRequest("This id cannot name a folder.")
    return name
