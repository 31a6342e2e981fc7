"""Documents fail when they drift: links, names, variables, codes, generated files."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command

from claudeapi.core.errors import CODES
from claudeapi.core.metrics import REGISTRY
from claudeapi.server import CLOSE_SECONDS
from claudeapi.settings_table import TABLE
from claudeapi.worker import FAREWELL_SECONDS
from sessions_app import metrics as metrics  # registers them
from tests.conftest import require_program
from tests.server_process import ROOT

PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"```.*?```", re.DOTALL)
FOLDERS = ("claudeapi/", "keys_app/", "sessions_app/", "simulator/", "tests/", "docs/", "deploy/")
BELOW_SESSIONS = ("api/", "engines/", "streaming/", "actions/")


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


LIMITS = {f"X-RateLimit-{what}" for what in ("Limit", "Remaining", "Reset")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if not target.startswith(("http://", "https://", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_mentioned_exist(page: Path) -> None:
    for name in CODE.findall(prose(page)):
        if name.startswith(FOLDERS) and " " not in name and "{" not in name:
            assert (ROOT / name).exists(), name
        elif name.startswith(BELOW_SESSIONS) and name.endswith(".py"):
            assert (ROOT / "sessions_app" / name).exists(), name


def test_every_variable_is_documented() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()

    assert [setting.name for setting in TABLE if f"`{setting.name}`" not in page] == []


@pytest.mark.parametrize("name", ["operations.md", "guide.md", "../README.md"])
def test_variables_that_are_mentioned_exist(name: str) -> None:
    known = {setting.name for setting in TABLE} | set(CODES) | {"BASE_URL", "API_KEY"}
    mentioned = re.findall(
        r"`([A-Z][A-Z]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`", prose(ROOT / "docs" / name)
    )

    assert [word for word in mentioned if word not in known] == []


def test_every_error_code_is_documented(openapi: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "errors.md").read_text()

    assert [code for code in CODES if f"`{code}`" not in page] == []
    described = yaml.safe_dump(openapi["components"]["responses"])
    assert [code for code in CODES if code not in described] == []


def test_metrics_that_are_mentioned_exist() -> None:
    known = {
        sample for family in REGISTRY.collect() for sample in (family.name, f"{family.name}_total")
    }
    text = (ROOT / "docs" / "operations.md").read_text()

    assert {name for name in re.findall(r"`(claudeapi_\w+)`", text) if name not in known} == set()


def test_the_committed_openapi_document_is_current(tmp_path: Path) -> None:
    fresh = tmp_path / "openapi.yaml"
    call_command("spectacular", file=str(fresh), validate=True, fail_on_warn=True)

    assert fresh.read_text() == (ROOT / "docs" / "openapi.yaml").read_text()


def test_every_operation_is_described(openapi: dict[str, Any]) -> None:
    seen: set[str] = set()
    tags = [tag["name"] for tag in openapi["tags"]]
    for path, item in openapi["paths"].items():
        for method, operation in item.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["description"], where
            assert operation["operationId"] not in seen, where
            seen.add(operation["operationId"])
            assert operation["tags"][0] in tags, where
            for parameter in operation["parameters"]:
                assert "$ref" in parameter or parameter["description"], (where, parameter)
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            assert not body or body.get("examples"), where


def test_the_headers_of_errors_and_the_methods_of_probes_are_told(openapi: dict[str, Any]) -> None:
    for status in ("400", "404", "429", "503"):
        headers = openapi["components"]["responses"][f"Error{status}"]["headers"]
        assert {name for name in headers if name.startswith("X-RateLimit-")} == LIMITS, status
    for path in ("/livez", "/readyz", "/metrics"):
        assert "405" in openapi["paths"][path]["get"]["responses"], path


def test_every_field_of_a_request_is_described(openapi: dict[str, Any]) -> None:
    for name, schema in openapi["components"]["schemas"].items():
        if name.endswith("Request"):
            for field, value in schema["properties"].items():
                assert value.get("description"), f"{name}.{field}"


def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    nginx = require_program("nginx")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [require_program("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-batch",
         "-subj", "/CN=api.example.com", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    site = (ROOT / "deploy" / "nginx.conf").read_text()
    site = site.replace("/etc/ssl/certs/api.example.com.pem", str(certificate))
    site = site.replace("/etc/ssl/private/api.example.com.key", str(key))
    (tmp_path / "site.conf").write_text(site)
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; include {tmp_path}/site.conf; }}\n"
    )

    done = subprocess.run(
        [nginx, "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


def test_the_unit_waits_longer_than_the_drain() -> None:
    unit = (ROOT / "deploy" / "claudeapi.service").read_text()
    seconds = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    drain = next(setting.default for setting in TABLE if setting.name == "DRAIN_TIMEOUT")

    assert seconds is not None
    assert int(seconds[1]) >= drain + FAREWELL_SECONDS + CLOSE_SECONDS


def test_the_example_environment_names_known_variables() -> None:
    text = (ROOT / "deploy" / "claudeapi.env").read_text()
    names = re.findall(r"^#? ?([A-Z_]+)=", text, re.MULTILINE)

    assert set(names) <= {setting.name for setting in TABLE}
