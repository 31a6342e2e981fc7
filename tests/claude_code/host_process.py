"""A server in small: runs one message on one session; a test kills it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from sessions_app.engines.base import Upstream
from sessions_app.engines.claude_code.engine import ClaudeCodeEngine
from sessions_app.engines.claude_code.store import MemoryTranscripts
from tests.claude_code.cast import Session, bash


async def main(data_dir: str, url: str, mode: str, command: str) -> None:
    engine = ClaudeCodeEngine(
        data_dir=Path(data_dir),
        transcripts=MemoryTranscripts(),
        sandbox_mode=mode,  # type: ignore[arg-type]
    )
    alice = Session(engine, Upstream(url, "sk-operator"))
    await alice.say(bash(command))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
