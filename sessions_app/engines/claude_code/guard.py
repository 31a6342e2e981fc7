"""A guard around an agent that has no sandbox; run as a program, not imported.

`python guard.py SERVER FOLDER COMMAND…` runs the command in the folder. It ends everything that
the command has started, however far it has detached itself, when the command ends, when
it is told to stop, or when the server that started it (its process id) is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from types import FrameType

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(server: int, folder: str, command: list[str]) -> int:
    """Run the command to its end, or to ours; its exit code."""
    libc = ctypes.CDLL(None, use_errno=True)
    signal.signal(signal.SIGTERM, _stop)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != server:
        return 1  # The server died before we could ask to be told.
    child = os.fork()
    if child == 0:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.chdir(folder)
        os.execv(command[0], command)
    status = 1
    try:
        status = _outlive(child)
    finally:
        _end_all()
    return status


def _outlive(child: int) -> int:
    """Reap whatever ends until the command itself has."""
    while True:
        ended, status = os.wait()
        if ended == child:
            return os.waitstatus_to_exitcode(status) & 0xFF


def _stop(number: int, frame: FrameType | None) -> None:
    raise SystemExit(1)


def _end_all() -> None:
    """Kill our children until there are none: orphans become ours as their parents go."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            return


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
