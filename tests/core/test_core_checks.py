"""System checks: what is refused at start, with the reason."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from claudeapi import checks
from claudeapi.conf import AuthOptions
from tests.server_process import ROOT, environment, manage


def ids(found: Any) -> list[str]:
    return [message.id for message in found]


def test_several_workers_need_redis_and_postgresql(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OPTIONS = replace(settings.OPTIONS, workers=2, redis_url=None)
    sqlite = "django.db.backends.sqlite3"
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", sqlite)
    assert ids(checks.check_several_processes()) == ["claudeapi.E010", "claudeapi.E011"]
    settings.OPTIONS = replace(settings.OPTIONS, redis_url="redis://localhost")
    assert ids(checks.check_several_processes()) == ["claudeapi.E011"]
    settings.OPTIONS = replace(settings.OPTIONS, workers=1)
    assert ids(checks.check_several_processes()) == []


def test_production_refuses_what_development_forgives(settings: Settings) -> None:
    settings.PRODUCTION, settings.DEBUG = True, True
    settings.SECRET_KEY, settings.ALLOWED_HOSTS = "secret", ["*"]
    assert ids(checks.check_production()) == ["claudeapi.E021", "claudeapi.E022", "claudeapi.E023"]


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        (("* /sessions/*", "GET /usage", "/health", "DELETE /sessions/:id"), []),
        (("POST /sessions/:id/message",), ["claudeapi.E012"]),
        (("DELETE /models", "GET /api/v1x/models"), ["claudeapi.E012"] * 2),
        (("POST /sessions/:id/messages",), ["claudeapi.W025"]),
        (("POST /sessions/:id/messages", "/sessions/:id/stream"), []),
    ],
)
def test_patterns_that_protect_nothing_or_half_are_told(
    settings: Settings, patterns: tuple[str, ...], found: list[str]
) -> None:
    settings.OPTIONS = replace(settings.OPTIONS, auth=AuthOptions(require_auth=patterns))
    assert ids(checks.check_open_routes()) == found


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["off", "auto"])
def test_production_goes_without_a_sandbox_only_if_that_is_confirmed(
    tmp_path: Path, mode: str
) -> None:
    env = environment(
        tmp_path, ENVIRONMENT="production", ALLOWED_HOSTS="api.example.com", CLAUDE_SANDBOX=mode
    )
    assert "claudeapi.E005" in manage("serve", env=env, check=False)
    assert "claudeapi.E005" not in manage("check", env={**env, "TRUST_EVERY_CALLER": "true"})


@pytest.mark.parametrize("auth", [{"enabled": False}, {"require_auth": ()}])
def test_production_without_keys_warns(settings: Settings, auth: dict[str, Any]) -> None:
    settings.PRODUCTION, settings.SECRET_KEY = True, "0123456789" * 5
    settings.OPTIONS = replace(settings.OPTIONS, auth=AuthOptions(**auth))
    assert ids(checks.check_production()) == ["claudeapi.W024"]


def test_another_server_does_not_start_with_a_wrong_value_either(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import claudeapi.asgi"],
        cwd=ROOT,
        env=environment(tmp_path, ENVIRONMENT="prod"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode
    assert "ENVIRONMENT='prod' is not allowed" in done.stderr


@pytest.mark.parametrize(
    ("host", "warned"),
    [("127.0.0.1", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("a", True)],
)
def test_development_on_an_open_address_warns(settings: Settings, host: str, warned: bool) -> None:
    settings.OPTIONS = replace(settings.OPTIONS, host=host)
    assert ids(checks.check_production()) == (["claudeapi.W020"] if warned else [])


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = environment(tmp_path / "file" / "data")
    output = manage("serve", env=env, check=False)
    assert "(claudeapi.E013) DATA_DIR=" in output
    assert "Traceback" not in output


def test_the_server_does_not_start_with_a_wrong_value_and_names_it(tmp_path: Path) -> None:
    env = environment(tmp_path, PORT="http", CLAUDE_CODE_API='{"maxSessions": 0, "auth": {"x": 1}}')
    output = manage("serve", env=env, check=False)
    assert "(claudeapi.E001) PORT='http' is not allowed: a whole number from 0 to 65535." in output
    assert "maxSessions" in output
    assert "auth.x" in output
    assert "Traceback" not in output


def test_several_workers_on_sqlite_are_refused_with_the_reason(tmp_path: Path) -> None:
    output = manage("serve", env=environment(tmp_path, WORKERS="2"), check=False)
    assert "WORKERS=2 needs REDIS_URL" in output
    assert "WORKERS=2 needs PostgreSQL" in output


def test_a_database_without_its_tables_is_refused(tmp_path: Path) -> None:
    output = manage("serve", env=environment(tmp_path), check=False)
    assert "run `python3 manage.py migrate`" in output


def test_production_settings_pass_djangos_deployment_checks(tmp_path: Path) -> None:
    env = environment(tmp_path, ENVIRONMENT="production", ALLOWED_HOSTS="api.example.com")
    assert "no issues" in manage("check", "--deploy", "--fail-level", "WARNING", env=env)


@pytest.mark.slow
def test_the_generated_documents_are_current(tmp_path: Path) -> None:
    env = environment(tmp_path)
    manage("config_reference", "--check", env=env)
    manage("error_reference", "--check", env=env)


@pytest.mark.slow
def test_the_address_of_the_command_line_is_checked_as_the_environments(tmp_path: Path) -> None:
    env = environment(tmp_path)
    wrong = manage("serve", "--port", "70000", "--host", "0.0.0.0", env=env, check=False)
    assert "PORT='70000' is not allowed: a whole number from 0 to 65535." in wrong
    assert "Traceback" not in wrong
    open_to_all = manage("serve", "--port=0", "--host=0.0.0.0", env=env, check=False)
    assert "HOST=0.0.0.0 serves other machines" in open_to_all
