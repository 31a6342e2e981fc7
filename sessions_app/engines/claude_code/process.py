"""The CLI as a process: its pipes, its lines and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from claude_agent_sdk import CLIConnectionError, ProcessError, Transport

from sessions_app.engines.claude_code import leftovers

Frame = dict[str, Any]
"""One line of the CLI's output."""

_CONTROL = frozenset(
    {"control_response", "control_request", "control_cancel_request", "transcript_mirror"}
)
_CHUNK = 1 << 16
_NUL = b"\\u0000"
_STDERR_LINES = 40


@dataclass(frozen=True, slots=True)
class Launch:
    """What to start.

    Attributes:
        command: the whole command line, sandbox included.
        environment: the whole environment: nothing of the server's is added.
        stop: the signal that ends it and all that it has started.
        max_line: bytes; a longer line of output ends the process.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    stop: signal.Signals = signal.SIGKILL
    max_line: int = 32 << 20


class CliProcess(Transport):
    """Starts the CLI with exactly the given environment and reads it for its whole life.

    The SDK's own transport hands the whole environment of the server to the agent, and
    its message stream stops the control protocol when nobody reads. So here: control
    frames go to the SDK, all others to `deliver`, in the order of the wire.

    Args:
        deliver: called with every message; it must not block.
        on_end: called once, when the CLI sends no more.

    Attributes:
        fault: why we ended it, where there is something to tell.
    """

    def __init__(
        self, launch: Launch, deliver: Callable[[Frame], None], on_end: Callable[[], None]
    ) -> None:
        self._launch = launch
        self._deliver = deliver
        self._on_end = on_end
        self._process: asyncio.subprocess.Process | None = None
        self._stderr: deque[str] = deque(maxlen=_STDERR_LINES)
        self._stderr_task: asyncio.Task[None] | None = None
        self._own: frozenset[leftovers.Member] | None = None
        self._writing = asyncio.Lock()
        self._ready = False
        self._closing = False
        self.fault = ""

    @property
    def pid(self) -> int | None:
        """The process's id, once it has started."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    def stderr_tail(self) -> str:
        """The last lines it complained with."""
        return "\n".join(self._stderr)[-2000:]

    async def connect(self) -> None:
        """Start it. Raises `OSError` where that is not possible."""
        self._process = await asyncio.create_subprocess_exec(
            *self._launch.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(self._launch.environment),
            cwd="/",
            start_new_session=True,
        )
        self._stderr_task = asyncio.create_task(self._read_stderr())
        self._ready = True

    async def write(self, data: str) -> None:
        """Send one line."""
        async with self._writing:
            stdin = self._process.stdin if self._process else None
            if not self._ready or stdin is None:
                raise CLIConnectionError("The CLI is not running.")
            try:
                stdin.write(data.encode())
                await stdin.drain()
            except (ConnectionError, RuntimeError) as error:
                self._ready = False
                raise CLIConnectionError("The CLI does not listen any more.") from error

    async def end_input(self) -> None:
        """Tell it that nothing more comes."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def is_ready(self) -> bool:
        """Whether it takes input."""
        return self._ready

    async def read_messages(self) -> AsyncIterator[Frame]:
        """Everything it says, until it ends."""
        try:
            async for frame in self._frames():
                if self._own is None:  # it has answered, and no tool has run yet
                    self._own = leftovers.descendants(self._process.pid) if self._process else None
                kind = frame.get("type")
                if kind in _CONTROL:
                    yield frame
                elif kind == "result":
                    # The SDK writes the transcript to the store before it asks for more.
                    yield frame
                    if not self.fault:  # else it is of no account
                        self._deliver(frame)
                else:
                    self._deliver(frame)
        finally:
            self._ready = False
            self._on_end()
        if not self._closing:
            # Else the SDK would wait a minute for answers that cannot come.
            raise ProcessError("The CLI has ended.", exit_code=await self._exit_code())

    async def _frames(self) -> AsyncIterator[Frame]:
        assert self._process is not None
        assert self._process.stdout is not None
        rest: list[bytes] = []
        length = 0
        while chunk := await self._process.stdout.read(_CHUNK):
            *lines, tail = chunk.split(b"\n")
            if lines:
                lines[0] = b"".join((*rest, lines[0]))
                rest, length = [], 0
            rest.append(tail)
            length += len(tail)
            for line in lines:
                frame = parsed(line)
                if frame is not None:
                    yield frame
            if length > self._launch.max_line:
                self.kill("The agent sent a line longer than the server reads.")
                return

    async def _read_stderr(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        secret = self._launch.environment.get("ANTHROPIC_API_KEY") or "\0"
        while chunk := await self._process.stderr.read(_CHUNK):
            text = chunk.decode(errors="replace").replace(secret, "…")
            self._stderr.extend(line for line in text.splitlines() if line.strip())

    def kill(self, fault: str = "") -> None:
        """End it at once, and with it all that it has started."""
        self.fault = self.fault or fault
        self._ready = False
        if self._process is None or self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, self._launch.stop)

    async def end_leftovers(self) -> None:
        """End what its tools have left running, however detached; it lives on itself."""
        if self._process is None or self._own is None or not self.alive:
            return
        if not await asyncio.to_thread(leftovers.end, self._process.pid, self._own):
            self.kill()

    async def close(self) -> None:
        """End it: first by closing its input, then by force. Takes 3 s at most."""
        self._ready = False
        self._closing = True
        if self._process is None:
            return
        await self.end_input()
        if not await self._ended(within=1.5):
            self.kill()
        if not await self._ended(within=1.0):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._ended(within=0.5)
        if self._stderr_task is not None:
            self._stderr_task.cancel()
        # A pipe that something still holds would keep it for ever; there is no public way.
        self._process._transport.close()  # type: ignore[attr-defined]

    async def _exit_code(self) -> int | None:
        """Its exit code, once all that it complained about has been read."""
        assert self._process is not None
        await self._ended(within=1.0)
        if self._stderr_task is not None:
            await asyncio.wait({self._stderr_task}, timeout=0.5)
        return self._process.returncode

    async def _ended(self, *, within: float) -> bool:
        assert self._process is not None
        try:
            async with asyncio.timeout(within):
                await self._process.wait()
        except TimeoutError:
            return False
        return True


def parsed(line: bytes) -> Frame | None:
    """One line as a frame; None for what is none (the CLI logs a line now and then)."""
    if not line.startswith(b"{"):
        return None
    try:
        frame = orjson.loads(line)
    except orjson.JSONDecodeError:
        frame = _mended(line)
    if _NUL in line:
        frame = _storable(frame)
    return frame if isinstance(frame, dict) else None


def _mended(line: bytes) -> Any:
    """A line with half a surrogate pair in it, which JavaScript writes and nobody can store."""
    try:
        text = json.dumps(json.loads(line), ensure_ascii=False)
    except ValueError:
        return None
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return json.loads(whole)


def _storable(value: Any) -> Any:
    """The same without NUL characters, which PostgreSQL does not take."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value
