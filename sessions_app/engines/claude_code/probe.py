"""Facts about this machine for `doctor` and `/health`."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import claude_agent_sdk

from sessions_app.engines.claude_code.sandbox import try_bubblewrap

TESTED_SDK = "0.2.187"
TESTED_CLI = "2.1.330"


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to run agents with.

    Attributes:
        cli_version: empty where the CLI does not start.
        bubblewrap: where it is installed, else None.
        sandbox_problem: why bubblewrap does not work here; empty where it does.
        cli_problem: what the CLI said instead of its version, if anything.
    """

    cli: Path | None
    cli_version: str
    sdk_version: str
    bubblewrap: Path | None
    sandbox_problem: str
    cli_problem: str = ""


def find_cli() -> Path | None:
    """The CLI that comes with the SDK, else one on the path."""
    bundled = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
    if bundled.is_file():
        return bundled
    found = shutil.which("claude")
    return Path(found) if found else None


async def probe() -> Facts:
    """Look at everything; takes about half a second."""
    cli, bubblewrap = find_cli(), shutil.which("bwrap")
    (version, cli_problem), problem = await asyncio.gather(
        _version_of(cli), try_bubblewrap(bubblewrap)
    )
    return Facts(
        cli=cli,
        cli_version=version,
        sdk_version=metadata.version("claude-agent-sdk"),
        bubblewrap=Path(bubblewrap) if bubblewrap else None,
        sandbox_problem=problem,
        cli_problem=cli_problem,
    )


async def _version_of(cli: Path | None) -> tuple[str, str]:
    """Its version, or else what it says instead."""
    if cli is None:
        return "", ""
    try:
        process = await asyncio.create_subprocess_exec(
            str(cli),
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin"},
        )
    except OSError as error:
        return "", error.strerror or type(error).__name__
    try:
        async with asyncio.timeout(10):
            output, complaint = await process.communicate()
    except TimeoutError:
        process.kill()
        return "", "it did not answer within 10 s"
    match = re.match(rb"\d+\.\d+\.\d+", output)
    if match:
        return match[0].decode(), ""
    return "", complaint.decode(errors="replace").strip()[-500:]
