"""Keys in a real Chromium: made, copied, used, rotated and revoked; each page, for each role."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from console import roles
from tests.conftest import require
from tests.console.browser import DESKTOP, PATIENCE, PHONE, Screen, axe_script
from tests.server_process import ServerProcess, manage

pytestmark = pytest.mark.slow

LIST = "/admin/keys_app/apikey/"
USAGE = "/admin/keys_app/usagesum/"
TAB, ENTER, SPACE = "\ue004", "\ue007", " "
FILL = """
from datetime import timedelta
from decimal import Decimal
from django.utils import timezone
from keys_app import budgets
from keys_app.models import ApiKey
now = timezone.now()
key, _ = ApiKey.objects.issue("Watched", expires_at=now + timedelta(days=3), budget_day_usd=5,
    created_at=now - timedelta(days=200))
for hours in range(60):
    budgets.record(key.pk, "messages", "claude-sonnet-5-5", input_tokens=123456, runs=3,
        cost_usd=Decimal("1.234567"), at=now - timedelta(hours=hours))
print("made", key.pk)
"""


@pytest.fixture(scope="module")
def watched(console_server: ServerProcess) -> str:
    """The address of a key that has been used, and expires soon."""
    said = manage("shell", "-c", FILL, env=console_server.env)
    return f"{LIST}{said.split()[-1]}/"


@pytest.fixture(scope="module")
def screen(console_server: ServerProcess, watched: str) -> Iterator[Screen]:
    browser = Screen(console_server.url)
    yield browser
    browser.quit()


@pytest.fixture
def operator(screen: Screen) -> Screen:
    screen.show(DESKTOP)
    screen.sign_in("operator")
    screen.complaints()
    screen.called()
    screen.driver.execute_cdp_cmd(
        "Browser.grantPermissions",
        {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"], "origin": screen.base},
    )
    return screen


def pages(watched: str) -> list[str]:
    own = [f"{watched}{name}/" for name in ("change", "rotate", "extend", "revoke", "history")]
    return [LIST, f"{LIST}add/", f"{LIST}add/?preset=agent", *own, USAGE]


def clipboard(screen: Screen) -> str:
    return str(
        screen.driver.execute_async_script(
            "const done = arguments[0]; navigator.clipboard.readText().then(done, done)"
        )
    )


def copy(screen: Screen, what: str) -> str:
    screen.one(f"[data-copy={what}]").click()
    screen.until_text("Copied", f"[data-copy={what}]")
    return clipboard(screen)


def works(screen: Screen, text: str) -> bool:
    answer = requests.get(f"{screen.base}/api/v1/me", headers={"x-api-key": text}, timeout=PATIENCE)
    return answer.status_code == 200


def make(screen: Screen, name: str, preset: str) -> str:
    """Make a key from a preset; its text, by the copy button."""
    screen.open(LIST)
    screen.one(f"a[href='{LIST}add/']").click()
    screen.one("#id_name").send_keys(name)
    screen.one(f"[data-preset={preset}]").click()
    screen.until_text("filled in", ".key-filled")
    screen.one("[name=_save]").click()
    screen.one("#key-text")
    return copy(screen, "key-text")


def test_a_key_is_made_with_a_preset_copied_used_rotated_and_revoked(operator: Screen) -> None:
    old = make(operator, "Flow", "chat")
    line = copy(operator, "key-curl")
    done = subprocess.run(shlex.split(line), capture_output=True, timeout=PATIENCE, check=True)
    told = json.loads(done.stdout)
    assert (told["name"], told["policy"]["engines"]) == ("Flow", ["messages"])
    assert told["limits"]["budget"]["day"]["remainingUsd"] == "10.00"

    operator.driver.refresh()
    operator.until_text("shown already")
    operator.one(".panel a.button").click()
    operator.until_text(told["prefix"], ".page-head")

    operator.one("a[href$='/rotate/']").click()
    operator.one("form[data-once] button").click()
    operator.one("#key-text")
    new = copy(operator, "key-text")
    assert new != old
    assert works(operator, old)
    assert works(operator, new)

    operator.one(".key-shown a.button").click()
    key_page = operator.driver.current_url
    with _stream(operator, new) as stream:
        operator.until(lambda: "open streams (1)" in _revoke_page(operator, key_page))
        operator.one("form[data-once] button").click()
        operator.until_text("revoked", ".page-head")
        assert b"event: connected" in b"".join(stream.iter_content(None))
    assert not works(operator, old)
    assert not works(operator, new)
    assert _serious(operator) == []


def _stream(screen: Screen, text: str) -> requests.Response:
    """A follower of a new session of this key."""
    sessions, headers = f"{screen.base}/api/v1/sessions", {"x-api-key": text}
    made = requests.post(sessions, json={}, headers=headers, timeout=PATIENCE)
    made.raise_for_status()
    url = f"{sessions}/{made.json()['sessionId']}/stream"
    return requests.get(url, headers=headers, stream=True, timeout=PATIENCE)


def _revoke_page(screen: Screen, key_page: str) -> str:
    screen.driver.get(key_page.replace("/change/", "/revoke/"))
    return screen.text("#content")


def _serious(screen: Screen) -> list[str]:
    # "[DOM]" is advice on forms, which the console of a browser gives beside its errors.
    return [said for said in screen.complaints() if "[DOM]" not in said]


def test_a_double_click_makes_one_key_and_rotates_once(operator: Screen) -> None:
    twice = "const f = document.querySelector(arguments[0]); f.requestSubmit(); f.requestSubmit();"
    operator.open(f"{LIST}add/?preset=chat")
    operator.one("#id_name").send_keys("Twice")
    operator.run(twice, "#apikey_form")
    operator.one("#key-text")
    old = copy(operator, "key-text")
    operator.one(".key-shown a.button").click()
    operator.one("a[href$='/rotate/']").click()
    operator.one("form[data-once]")
    operator.run(twice, "form[data-once]")
    operator.one("#key-text")
    assert works(operator, old)
    assert works(operator, copy(operator, "key-text"))
    operator.open(f"{LIST}?q=Twice")
    assert len(operator.all("#result_list tbody tr")) == 1


def test_a_preset_keeps_what_was_typed_and_undoes_the_one_before(operator: Screen) -> None:
    operator.open(f"{LIST}add/")
    operator.one("#id_name").send_keys("Typed")
    operator.one("[data-preset=agent]").click()
    assert operator.one("#id_max_turns").get_attribute("value") == "50"
    operator.one("[data-preset=read-only]").click()
    assert operator.one("#id_name").get_attribute("value") == "Typed"
    assert operator.one("#id_max_turns").get_attribute("value") == ""
    checked = operator.all("#id_scopes input:checked")
    assert [box.get_attribute("value") for box in checked] == ["sessions:read", "usage:read"]
    chosen = operator.all("[data-preset][aria-current]")
    assert [link.get_attribute("data-preset") for link in chosen] == ["read-only"]


def test_a_key_is_made_and_extended_by_keyboard_alone(operator: Screen, watched: str) -> None:
    def press_until(wanted: str) -> None:
        """Tab until the focus is on an element of this selector."""
        for _ in range(80):
            if operator.run("return document.activeElement.matches(arguments[0])", wanted):
                return
            operator.type(TAB)
        raise AssertionError(f"the keyboard does not reach {wanted}")

    operator.open(f"{LIST}add/")
    operator.run("document.activeElement.blur()")
    press_until("[data-preset=agent]")
    operator.type(ENTER)
    press_until("#id_name")
    operator.type("By keyboard" + ENTER)
    operator.one("#key-text")
    press_until("[data-copy=key-text]")
    operator.type(ENTER)
    operator.until_text("Copied", "[data-copy=key-text]")
    assert re.match(r"capi_\w+$", clipboard(operator))

    operator.open(f"{watched}change/")
    press_until("a[href$='/extend/']")
    operator.type(ENTER)
    operator.one("#id_days_0")
    press_until("[name=days]")
    press_until("form[data-once] button")
    operator.type(SPACE)
    operator.until_text("works until", ".messagelist")


def test_no_page_of_keys_complains_or_asks_another_host(operator: Screen, watched: str) -> None:
    for page in pages(watched):
        operator.open(page)
        operator.until_text("Live", "#live-sign")
    assert _serious(operator) == []
    assert {urlsplit(url).hostname for url in operator.called()} == {"127.0.0.1"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_a_page_of_keys(
    operator: Screen, watched: str, scheme: str
) -> None:
    require("axe-core", axe_script().is_file())
    findings: list[str] = []
    for size in (DESKTOP, PHONE):
        operator.show(size, scheme)
        for page in pages(watched):
            operator.open(page)
            findings += [f"{page} {size[0]} {found}" for found in operator.accessibility()]
    assert not findings, "\n".join(findings)


def test_no_page_of_keys_is_wider_than_a_phone(operator: Screen, watched: str) -> None:
    operator.show(PHONE)
    wide = []
    for page in pages(watched):
        operator.open(page)
        if operator.is_wider_than_the_screen():
            wide.append(page)
    assert wide == []


@pytest.mark.parametrize("role", roles.GROUPS)
def test_each_role_sees_keys_without_a_complaint(screen: Screen, watched: str, role: str) -> None:
    screen.show(DESKTOP)
    screen.sign_in(role)
    screen.complaints()
    for page in (LIST, f"{watched}change/", USAGE):
        screen.open(page)
        screen.until_text("Live", "#live-sign")
        assert "Your role does not include this" not in screen.text()
    screen.open(f"{watched}change/")
    buttons = bool(screen.all("a[href$='/rotate/']"))
    assert buttons == (role in (roles.OPERATOR, roles.ADMINISTRATOR))
    assert _serious(screen) == []
