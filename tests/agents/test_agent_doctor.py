"""What `doctor` finds, and what it says to do about it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from claudeapi.conf import SandboxMode, options
from claudeapi.core.errors import UpstreamRejected
from sessions_app import doctor
from sessions_app.engines import catalog
from sessions_app.engines.claude_code import probe
from tests.server_process import ROOT, ServerProcess, environment, manage

HEALTHY = probe.Facts(
    cli=Path("/opt/claude"),
    cli_version=probe.TESTED_CLI,
    sdk_version=probe.TESTED_SDK,
    bubblewrap=Path("/usr/bin/bwrap"),
    sandbox_problem="",
)


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets the machine look otherwise than it is."""

    def pretend(**changes: Any) -> None:
        async def found() -> probe.Facts:
            return replace(HEALTHY, **changes)

        monkeypatch.setattr(probe, "probe", found)

    pretend()
    return pretend


def configured(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Other options than those of the tests."""
    monkeypatch.setattr(settings, "OPTIONS", replace(options(), **changes))


async def found(what: str, *, online: bool = False) -> doctor.Finding:
    """The one finding about this."""
    (finding,) = [each async for each in doctor.examine(online=online) if each.what == what]
    return finding


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("changes", "verdict", "fact", "remedy"),
    [
        ({}, "ok", probe.TESTED_CLI, ""),
        ({"cli": None, "cli_version": ""}, "failure", "not found", "pip install"),
        ({"cli_version": ""}, "failure", "/opt/claude", "pip install"),
        ({"cli_version": "", "cli_problem": "No GLIBC."}, "failure", "No GLIBC.", "pip install"),
        ({"cli_version": "9.9.9"}, "warning", "9.9.9", probe.TESTED_CLI),
        ({"sdk_version": "9.9.9"}, "warning", "9.9.9", probe.TESTED_SDK),
    ],
)
async def test_the_cli(
    facts: Callable[..., None], changes: dict[str, Any], verdict: str, fact: str, remedy: str
) -> None:
    facts(**changes)
    finding = await found("Claude Code CLI")
    assert finding.verdict == verdict
    assert fact in finding.fact
    assert remedy in finding.remedy


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("mode", "problem", "verdict"),
    [
        ("required", "", "ok"),
        ("auto", "no namespaces", "warning"),
        ("required", "no namespaces", "failure"),
        ("off", "", "warning"),
    ],
)
async def test_the_sandbox(
    facts: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    mode: SandboxMode,
    problem: str,
    verdict: str,
) -> None:
    facts(sandbox_problem=problem)
    configured(monkeypatch, agents=replace(options().agents, sandbox=mode))
    finding = await found("sandbox")
    assert finding.verdict == verdict
    assert bool(finding.remedy) is (verdict != "ok")


@pytest.mark.django_db(transaction=True)
async def test_credentials_and_one_real_call(
    facts: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await found("credentials")).verdict == "warning"
    upstream = replace(
        options().upstream, kind="anthropic", base_url="http://127.0.0.1:9", api_key="sk-secret"
    )
    configured(monkeypatch, upstream=upstream)
    assert (await found("credentials")).verdict == "ok"

    async def refuse(*_: Any) -> str:
        raise UpstreamRejected(details={"status": 401})

    monkeypatch.setattr(catalog, "ping", refuse)
    finding = await found("upstream", online=True)
    assert finding.verdict == "failure"
    assert "UPSTREAM_REJECTED" in finding.fact
    assert "sk-secret" not in str(finding)


@pytest.mark.django_db(transaction=True)
async def test_disk_and_data_folder(
    facts: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "LOW_DISK_BYTES", 1 << 60)
    assert (await found("disk")).remedy
    monkeypatch.setattr(settings, "PRODUCTION", True)
    os.chmod(tmp_path, 0o755)
    configured(monkeypatch, data_dir=tmp_path)
    finding = await found("data folder")
    assert (finding.verdict, finding.remedy) == ("warning", f"chmod 700 {tmp_path}")
    configured(monkeypatch, data_dir=tmp_path / "none" / "none")
    assert (await found("data folder")).verdict == "failure"
    assert "GiB free" in (await found("disk")).fact


@pytest.mark.django_db(transaction=True)
async def test_database_and_channel_layer(
    facts: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await found("database")).verdict == "ok"
    assert (await found("channel layer")).verdict == "ok"

    def away(*_: Any) -> None:
        raise OSError("no such server\nmore")

    monkeypatch.setattr(doctor, "MigrationExecutor", away)
    finding = await found("database")
    assert (finding.verdict, finding.fact) == ("failure", "no such server")

    class Broken:
        async def group_send(self, *_: Any) -> None:
            raise OSError

    monkeypatch.setattr(doctor, "get_channel_layer", Broken)
    finding = await found("channel layer")
    assert finding.verdict == "failure"
    assert "REDIS_URL" in finding.remedy


def test_the_command_fails_where_something_must_be_mended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def examine(*, online: bool) -> Any:
        yield doctor.Finding("tea", "ok", "hot")
        yield doctor.Finding("milk", "failure", "sour", "Buy some.")

    monkeypatch.setattr(doctor, "examine", examine)
    with pytest.raises(CommandError, match="1 of these"):
        call_command("doctor")
    said = capsys.readouterr().out
    assert "FAILURE  milk: sour" in said
    assert "→ Buy some." in said


def test_the_command_on_a_server_as_it_is(server: ServerProcess) -> None:
    said = manage("doctor", env=server.env)
    assert "FAILURE" not in said
    assert "bubblewrap works" in said


@pytest.mark.slow
def test_the_command_where_the_data_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = environment(tmp_path / "file" / "var")

    said = manage("doctor", env=env, check=False)

    assert "FAILURE  data folder" in said
    assert "Traceback" not in said
    assert "claudeapi.E013" in manage("check", env=env, check=False)


# Each keeps bubblewrap from what it needs: a fresh /proc, namespaces, a name of its own.
BREAK_THE_SANDBOX = (
    "ProtectKernelTunables",
    "ProtectKernelLogs",
    "ProcSubset",
    "ProtectHostname",
    "RestrictNamespaces",
    "MemoryDenyWriteExecute",
    "SystemCallFilter",
)


def test_the_unit_has_nothing_that_keeps_the_sandbox_from_working() -> None:
    unit = (ROOT / "deploy" / "claudeapi.service").read_text()
    document = (ROOT / "docs" / "operations.md").read_text()
    for name in BREAK_THE_SANDBOX:
        assert not re.search(rf"^{name}=", unit, re.MULTILINE), name
        assert f"`{name}`" in document


@pytest.mark.slow
@pytest.mark.parametrize("place", ["/proc/sys", "/proc/kmsg"])
def test_what_is_mounted_over_proc_is_found(server: ServerProcess, place: str) -> None:
    """As `ProtectKernelTunables` and `ProtectKernelLogs` do."""
    command = f"mount --bind {place} {place}; exec {sys.executable} manage.py doctor"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command],
        cwd=ROOT,
        env=server.env,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "FAILURE  sandbox: bwrap: Can't mount proc" in done.stdout
    assert "mount nothing over /proc" in done.stdout


def test_a_deployment_without_a_sandbox_is_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    def warned() -> bool:
        found = run_checks(tags=["security"], include_deployment_checks=True)
        return "claudeapi.W040" in {message.id for message in found}

    configured(monkeypatch, agents=replace(options().agents, sandbox="off"))
    assert warned()
    configured(monkeypatch, agents=replace(options().agents, sandbox="required"))
    assert not warned()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert warned()
