"""Logs: one JSON line an event, and never a secret."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from claudeapi.core.logging import mask, mask_secrets

SECRET = "S3cretS3cretS3cret"


@pytest.mark.parametrize(
    "text",
    [
        f"capi_abcdefghijkl_{SECRET}",
        f"sk-ant-api03-{SECRET}",
        f"Authorization: Bearer {SECRET}",
        f"authorization=Bearer {SECRET}",
        f"bearer {SECRET}",
        f"x-api-key: {SECRET}",
        f"{{'x-api-key': '{SECRET}'}}",
        f'{{"authorization": "Bearer {SECRET}"}}',
        f"(b'x-api-key', b'{SECRET}')",
        f"/ws?ticket={SECRET}&after=1",
        f"postgres://user:{SECRET}@host/name",
        f"redis://:{SECRET}@host",
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str) -> None:
    assert SECRET not in mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "GET /api/v1/sessions",
        "capi_abcdefghijkl",
        "http://localhost:3050/a@b",
        "a bearer",
        "authorization failed",
        "ticket, please",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask(text) == text


def test_secrets_are_masked_however_deep_and_by_the_name_of_their_field() -> None:
    line = {
        "event": f"key capi_abcdefghijkl_{SECRET}",
        "api_key": SECRET,
        "headers": [{"Authorization": SECRET}, (b"x", f"Bearer {SECRET}".encode())],
        "count": 3,
    }
    masked = mask_secrets(None, "", line)
    assert SECRET not in repr(masked)
    assert masked["count"] == 3
    assert masked["event"] == "key capi_abcdefghijkl_***"


def test_lines_of_the_standard_library_and_tracebacks_come_out_as_masked_json() -> None:
    program = f"""
import logging, structlog
from claudeapi.core.logging import configure
configure("INFO", "auto", production=True)
logging.getLogger("lib").warning("used %s", "sk-ant-{SECRET}")
structlog.contextvars.bind_contextvars(request_id="r1")
log = structlog.get_logger("ours")
try:
    raise ValueError("x-api-key: {SECRET}")
except ValueError:
    log.exception("failed", run="u1")
log.debug("hidden")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert SECRET not in done.stderr
    library, ours = (json.loads(line) for line in done.stderr.splitlines())
    assert (library["level"], library["event"]) == ("warning", "used sk-ant-***")
    assert (ours["event"], ours["request_id"], ours["run"]) == ("failed", "r1", "u1")
    assert "Traceback" in ours["exception"]


@pytest.mark.parametrize("style", ["json", "console"])
def test_neither_tracebacks_nor_objects_bring_a_secret_into_the_log(style: str) -> None:
    program = f"""
import logging, structlog
from claudeapi.core.logging import configure
configure("INFO", {style!r}, production=False)
class Request:
    def __repr__(self):
        return "<ASGIRequest: GET '/x?prompt=words&k=capi_abcdefghijkl_" + "{SECRET}'>"
def answer():
    prompt, key = "wor" + "ds", "capi_abcdefghijkl_{SECRET}"
    raise ValueError("capi_abcdefghijkl_{SECRET}")
try:
    answer()
except ValueError:
    structlog.get_logger("ours").exception("failed", other=3)
    logging.getLogger("lib").exception("failed too")
logging.getLogger("django.request").error("Broken", extra={{"request": Request(), "n": Request}})
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert SECRET not in done.stderr
    assert "words" not in done.stderr
    assert "Traceback" in done.stderr
    assert "Broken" in done.stderr
