"""Keys from the command line."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.server_process import ServerProcess, manage


async def issued(server: ServerProcess, *options: str) -> Any:
    """A key from the command line: its id, prefix and text."""
    told = await asyncio.to_thread(
        manage, "api_keys", "create", "Alice", "--json", *options, env=server.env
    )
    return json.loads(told[told.index("{") :])


async def revoke(server: ServerProcess, key: Any) -> None:
    """Revoke a key that was `issued`."""
    await asyncio.to_thread(manage, "api_keys", "revoke", key["prefix"], env=server.env)
