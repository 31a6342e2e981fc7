"""Looks at everything this server needs, and says what to do about what is missing."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from claudeapi.conf import options
from claudeapi.core.errors import ApiError
from sessions_app.engines.base import Upstream

Verdict = Literal["ok", "warning", "failure"]
LOW_DISK_BYTES = 1 << 30
LAYER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at.

    Attributes:
        remedy: what to do about it; empty when all is well.
    """

    what: str
    verdict: Verdict
    fact: str
    remedy: str = ""


async def examine(*, online: bool = False) -> AsyncIterator[Finding]:
    """Look at one thing after another.

    Args:
        online: ask the upstream too, which costs a fraction of a cent.
    """
    for problem in settings.LOADED.problems:
        yield Finding("configuration", "failure", problem.message, f"See {problem.name}.")
    yield await sync_to_async(_database)()
    yield await _channel_layer()
    yield _data_folder()
    yield _disk()
    yield _credentials()
    async for finding in _agents():
        yield finding
    if online:
        yield await _upstream()


def _database() -> Finding:
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Exception as error:  # whatever a driver raises is the finding
        return Finding(
            "database", "failure", str(error).splitlines()[0], "Check DATABASE_URL and the server."
        )
    fact = f"{connection.vendor}, {len(pending)} migrations pending"
    if pending:
        return Finding("database", "failure", fact, "Run `python3 manage.py migrate`.")
    return Finding("database", "ok", fact)


async def _channel_layer() -> Finding:
    layer = get_channel_layer()
    if layer is None:
        return Finding("channel layer", "ok", "none needed with one server process")
    try:
        async with asyncio.timeout(LAYER_SECONDS):
            await layer.group_send("claudeapi.health", {"type": "health.ping"})
    except Exception as error:  # whatever a driver raises is the finding
        fact = f"Redis does not answer ({type(error).__name__})"
        return Finding("channel layer", "failure", fact, "Check REDIS_URL and the server.")
    return Finding("channel layer", "ok", "Redis answers")


def _data_folder() -> Finding:
    folder = options().data_dir
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        remedy = "Make DATA_DIR a folder that the server's user owns."
        return Finding("data folder", "failure", f"{folder} cannot be written", remedy)
    mode = folder.stat().st_mode & 0o077
    if mode and settings.PRODUCTION:
        remedy = f"chmod 700 {folder}"
        return Finding("data folder", "warning", f"others may look into {folder}", remedy)
    return Finding("data folder", "ok", str(folder))


def _disk() -> Finding:
    data_dir = options().data_dir
    there = next(folder for folder in (data_dir, *data_dir.parents) if os.path.exists(folder))
    free = shutil.disk_usage(there).free
    fact = f"{free / (1 << 30):.1f} GiB free"
    if free < LOW_DISK_BYTES:
        return Finding("disk", "warning", fact, "Free some, or lower RETENTION_DAYS.")
    return Finding("disk", "ok", fact)


def _credentials() -> Finding:
    upstream = options().upstream
    if upstream.kind == "simulator":
        return Finding(
            "credentials",
            "warning",
            "none: replies come from the built-in simulator",
            "Set ANTHROPIC_API_KEY, or ANTHROPIC_BASE_URL for a gateway.",
        )
    return Finding("credentials", "ok", f"{upstream.kind} at {upstream.base_url}")


async def _agents() -> AsyncIterator[Finding]:
    probe = import_module("sessions_app.engines.claude_code.probe")
    facts = await probe.probe()
    if not facts.cli_version:
        own_words = f": {facts.cli_problem}" if facts.cli_problem else ""
        yield Finding(
            "Claude Code CLI",
            "failure",
            f"does not start ({facts.cli or 'not found'}){own_words}",
            "Install claude-agent-sdk, which brings it: `pip install -r requirements.txt`.",
        )
    else:
        tested = facts.cli_version == probe.TESTED_CLI and facts.sdk_version == probe.TESTED_SDK
        yield Finding(
            "Claude Code CLI",
            "ok" if tested else "warning",
            f"CLI {facts.cli_version}, SDK {facts.sdk_version}",
            "" if tested else f"Tested with CLI {probe.TESTED_CLI}, SDK {probe.TESTED_SDK}.",
        )
    yield _sandbox(facts.bubblewrap, facts.sandbox_problem)


def _sandbox(bubblewrap: Path | None, problem: str) -> Finding:
    mode = options().agents.sandbox
    if mode == "off":
        remedy = "Unset CLAUDE_SANDBOX unless every caller is trusted with this machine."
        return Finding("sandbox", "warning", "switched off", remedy)
    if bubblewrap is not None and not problem:
        return Finding("sandbox", "ok", f"bubblewrap works ({bubblewrap})")
    fact = problem or "bubblewrap is not installed"
    remedy = "Install bubblewrap (Debian: `apt install bubblewrap`)."
    if problem:
        remedy = "Allow user namespaces, and mount nothing over /proc: see docs/operations.md."
    return Finding("sandbox", "failure" if mode == "required" else "warning", fact, remedy)


async def _upstream() -> Finding:
    catalog = import_module("sessions_app.engines.catalog")
    upstream = options().upstream
    if not upstream.base_url:
        return Finding("upstream", "warning", "the simulator runs only with the server")
    try:
        model = await catalog.ping(
            Upstream(upstream.base_url, upstream.api_key, upstream.idle_timeout),
            options().default_model,
        )
    except ApiError as error:
        return Finding(
            "upstream", "failure", f"{error.code}: {error.message}", "Check key, model and network."
        )
    return Finding("upstream", "ok", f"{model} answered")
