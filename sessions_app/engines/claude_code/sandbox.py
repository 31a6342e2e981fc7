"""How a process of an agent is shut in: bubblewrap, or a guard where there is none."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from claudeapi.core.errors import Unavailable
from sessions_app.engines.claude_code import guard
from sessions_app.engines.claude_code.workspaces import Folders

SandboxMode = Literal["required", "auto", "off"]

TRIAL_SECONDS = 10.0
_NO_ANSWER = "bubblewrap did not come back."
SOCKET_INSIDE = "/run/upstream.sock"
CLI_INSIDE = "/opt/claude"
_UID = "1000"
_SHARED = str(256 << 20)
_NOTHING = str(1 << 20)
"""Bytes of memory that an agent can fill at `/dev/shm`, and in place of a hidden folder."""

# What programs need to run, and nothing that tells of the machine or its secrets.
_ETC = (
    "alternatives",
    "ca-certificates",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
)

# No core dumps; a file no larger than 4 GiB (in blocks of 512 bytes); the first to go
# when memory runs out, so that an agent never takes the server with it.
_LIMITS = 'ulimit -c 0; ulimit -f 8388608; echo 800 >/proc/self/oom_score_adj; exec "$@"'

# Bubblewrap is told a path, and what that leads to may have changed since it was allowed: the
# agent starts in that very folder, or not at all. Processes are counted inside, so that those
# of others don't count; for root they do not count at all.
_INSIDE = (
    'test "$(stat -c %d:%i .)" = "$1" || { echo "The folder to work in has moved." >&2; exit 1; }; '
    'ulimit -u 2048; shift; exec "$@"'
)


@dataclass(frozen=True, slots=True)
class Jail:
    """What a command needs to run shut in.

    Attributes:
        command: the whole command line.
        cli: where the command sees the CLI.
        socket: where it sees the relay's socket.
        temp: where it sees its temporary folder.
        stop: the signal that ends the command and all that it has started, at once.
    """

    command: tuple[str, ...]
    cli: str
    socket: str
    temp: str
    stop: signal.Signals


class Sandbox(Protocol):
    """A way of shutting a process in."""

    name: str
    closed: bool
    """Whether files, processes and network outside are out of the agent's reach."""

    def jail(self, folders: Folders, cli: Path, socket: Path) -> Jail:
        """The prefix of a command line for one session."""
        ...


class Bubblewrap:
    """Own user, process, network and file namespaces; dies with the server."""

    name = "bubblewrap"
    closed = True

    def __init__(self, program: str, data_dir: Path, hidden: Iterable[Path] = ()) -> None:
        self._program = program
        self._etc = data_dir / "sandbox"
        self._hidden = tuple(hidden)

    def jail(self, folders: Folders, cli: Path, socket: Path) -> Jail:
        """See `Sandbox.jail`."""
        arguments = [
            *("/bin/sh", "-c", _LIMITS, "sh", self._program),
            *("--die-with-parent", "--new-session", "--disable-userns"),
            *("--unshare-user", "--uid", _UID, "--gid", _UID),
            *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net"),
            *("--unshare-cgroup-try", "--hostname", "agent"),
            *("--proc", "/proc", "--dev", "/dev", "--size", _SHARED, "--tmpfs", "/dev/shm"),
            *("--remount-ro", "/dev"),  # else half of the machine's memory could be filled there
            *self._system(),
            *("--bind", str(folders.temp), "/tmp"),
            *("--ro-bind", str(cli), CLI_INSIDE),
            *("--bind", str(socket), SOCKET_INSIDE),
            *("--ro-bind", str(folders.prompts), str(folders.prompts)),
        ]
        for folder in (folders.work, folders.config, folders.home):
            arguments += ["--bind", str(folder), str(folder)]
        arguments += ["--remount-ro", "/", "--chdir", str(folders.work), "--"]
        arguments += ["/bin/bash", "-c", _INSIDE, "bash", folders.identity]
        temp = "/tmp"
        return Jail(tuple(arguments), CLI_INSIDE, SOCKET_INSIDE, temp, signal.SIGKILL)

    def _system(self) -> list[str]:
        arguments = ["--ro-bind", "/usr", "/usr"]
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            place = Path("/", name)
            if place.is_symlink():
                arguments += ["--symlink", os.readlink(place), str(place)]
            elif place.is_dir():
                arguments += ["--ro-bind", str(place), str(place)]
        for name in _ETC:
            arguments += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        for name, text in self._people().items():
            arguments += ["--ro-bind", str(self._written(name, text)), f"/etc/{name}"]
        for folder in self._hidden:
            if folder.is_relative_to("/usr"):
                arguments += ["--size", _NOTHING, "--tmpfs", str(folder)]
        return arguments

    @staticmethod
    def _people() -> dict[str, str]:
        return {
            "passwd": f"agent:x:{_UID}:{_UID}:agent:/:/bin/bash\n",
            "group": f"agent:x:{_UID}:\n",
            "hosts": "127.0.0.1 localhost agent\n",
        }

    def _written(self, name: str, text: str) -> Path:
        self._etc.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = self._etc / name
        if not file.exists():
            draft = file.with_suffix(f".{os.getpid()}")
            draft.write_text(text)
            draft.replace(file)
        return file


class Guarded:
    """No sandbox: a guard process that leaves nothing behind when the server is gone."""

    name = "none"
    closed = False

    def jail(self, folders: Folders, cli: Path, socket: Path) -> Jail:
        """See `Sandbox.jail`."""
        server = str(os.getpid())
        command = (sys.executable, "-I", "-S", guard.__file__, server, str(folders.work))
        return Jail(command, str(cli), str(socket), str(folders.temp), signal.SIGTERM)


async def try_bubblewrap(program: str | None = None) -> str:
    """Run something in bubblewrap, as an agent would; an empty string, or why it failed."""
    program = program or shutil.which("bwrap")
    if program is None:
        return "bubblewrap is not installed: install the package `bubblewrap`."
    command = [
        *(program, "--die-with-parent", "--disable-userns", "--unshare-user", "--uid", _UID),
        *("--unshare-pid", "--unshare-net", "--proc", "/proc", "--dev", "/dev"),
        *("--ro-bind", "/", "/", "--", "/bin/true"),
    ]
    return await _failure_of(command)


async def _failure_of(command: Sequence[str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={},
    )
    try:
        async with asyncio.timeout(TRIAL_SECONDS):
            _, stderr = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return _NO_ANSWER
    if process.returncode == 0:
        return ""
    return stderr.decode(errors="replace").strip()[-400:] or f"exit code {process.returncode}"


class Trial:
    """Whether bubblewrap works here. Once it did, it does; a failure is tried again."""

    def __init__(self) -> None:
        self._works = False

    async def problem(self) -> str:
        """Why it does not work; empty where it does."""
        if self._works and shutil.which("bwrap"):
            return ""
        problem = await try_bubblewrap()
        self._works = not problem
        return problem


trial = Trial()
"""What all of this process go by: engine, `/health` and console must not disagree."""


async def choose(mode: SandboxMode, data_dir: Path, hidden: Iterable[Path] = ()) -> Sandbox:
    """The sandbox that a mode means on this machine.

    Raises:
        Unavailable: `required`, and bubblewrap does not work here; or it cannot be told
            whether it does.
    """
    if mode == "off":
        return Guarded()
    problem = await trial.problem()
    if not problem:
        return Bubblewrap(shutil.which("bwrap") or "bwrap", data_dir, hidden)
    if mode == "required" or problem == _NO_ANSWER:
        raise Unavailable(
            "The sandbox for agents does not work on this server.",
            details={"reason": problem, "remedy": "Install bubblewrap, or see CLAUDE_SANDBOX."},
        )
    return Guarded()
