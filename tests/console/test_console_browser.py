"""The console in a real Chromium: live, lost and found, by keyboard, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from tests.conftest import require
from tests.console.browser import DESKTOP, PATIENCE, PHONE, Screen, Wire, axe_script
from tests.console.staging import PASSWORD
from tests.server_process import ServerProcess, manage

pytestmark = pytest.mark.slow

PAGES = (
    "/admin/",
    "/admin/?span=month&by=key",
    "/admin/service/",
    "/admin/two-factor/",
    "/admin/console/auditentry/",
    "/admin/auth/user/",
    "/admin/auth/user/add/",
    "/admin/auth/user/1/change/",
    "/admin/auth/user/1/password/",
    "/admin/auth/user/1/delete/",
    "/admin/auth/user/1/history/",
    "/admin/auth/group/",
    "/admin/auth/group/1/change/",
    "/admin/console/secondfactor/",
    "/admin/password_change/",
    "/admin/models/",
    "/admin/nothing/here/",
)
# What a browser says of a page that is not there, or is not this person's, and of our focus.
EXPECTED = ("status of 404", "status of 403", "Autofocus processing")
LISTS = (
    "/admin/sessions/",
    "/admin/runs/",
    "/admin/approvals/answered/",
    "/admin/keys_app/apikey/",
    "/admin/keys_app/usagesum/",
)
# The table under a chart may: it has a column for each key.
SCROLLS = """return [...document.querySelectorAll(".results, .cv-list, .scrolls:not(.chart *)")]
    .some((e) => e.scrollWidth > e.clientWidth + 1)"""
CUT_OFF = """return [...document.querySelectorAll(".form-row :is(input, select, textarea, .help)")]
    .some((e) => e.offsetWidth && e.getBoundingClientRect().right > innerWidth - 16)"""


@pytest.fixture(scope="module")
def screen(console_server: ServerProcess) -> Iterator[Screen]:
    browser = Screen(console_server.url)
    browser.show(DESKTOP)
    yield browser
    browser.quit()


@pytest.fixture
def root(administrator: Screen, console_server: ServerProcess) -> Screen:
    """A superuser, who sees all there is on every page."""
    make = (
        "from django.contrib.auth.models import User; "
        "User.objects.filter(username='root').exists() or "
        f"User.objects.create_superuser('root', password='{PASSWORD}')"
    )
    manage("shell", "-c", make, env=console_server.env)
    administrator.sign_in("root")
    return administrator


@pytest.fixture
def administrator(screen: Screen, console_server: ServerProcess) -> Screen:
    screen.base = console_server.url
    screen.show(DESKTOP)
    screen.sign_in("administrator")
    screen.complaints()
    screen.called()
    return screen


def talk(server: ServerProcess, api: requests.Session) -> None:
    sessions = f"{server.url}/api/v1/sessions"
    made = api.post(sessions, json={"engine": "messages"}, timeout=PATIENCE).json()
    path = f"{sessions}/{made['sessionId']}/messages"
    api.post(path, json={"prompt": "Hello"}, timeout=PATIENCE).raise_for_status()


def is_live(screen: Screen) -> None:
    screen.until_text("Live", "#live-sign")


def test_the_front_page_changes_by_itself(
    administrator: Screen, console_server: ServerProcess, api: requests.Session
) -> None:
    administrator.open("/admin/")
    is_live(administrator)
    before = int(administrator.text("[data-live=sessions]"))
    talk(console_server, api)
    administrator.until(lambda: int(administrator.text("[data-live=sessions]")) == before + 1)
    administrator.until(lambda: int(administrator.text("[data-live=runs_ended]")) > 0)
    assert "ms" in administrator.text("[data-live='first_delta.p50']")
    assert "just now" in administrator.text("[data-live='upstream.ok']")
    assert administrator.text("dd [data-live='upstream.words']") == "working"


def test_a_lost_connection_is_shown_and_found_again(
    administrator: Screen, console_server: ServerProcess, api: requests.Session
) -> None:
    wire = Wire(console_server.url)
    try:
        administrator.base = wire.url
        administrator.sign_in("viewer")
        is_live(administrator)
        before = int(administrator.text("[data-live=sessions]"))
        wire.cut()
        administrator.until_text("Connection lost", "#live-sign")
        assert administrator.accessibility() == []
        talk(console_server, api)
        wire.mend()
        is_live(administrator)
        administrator.until(lambda: int(administrator.text("[data-live=sessions]")) > before)
    finally:
        wire.close()


def test_ten_tabs_of_one_browser_are_all_served(
    administrator: Screen, console_server: ServerProcess
) -> None:
    first, driver = administrator.driver.current_window_handle, administrator.driver
    for _ in range(10):
        driver.switch_to.new_window("tab")
        administrator.open("/admin/service/")
        is_live(administrator)
    for tab in driver.window_handles:
        driver.switch_to.window(tab)
        if tab != first:
            driver.close()
    driver.switch_to.window(first)


def test_a_lost_role_is_told_from_a_lost_sign_in(
    administrator: Screen, console_server: ServerProcess
) -> None:
    administrator.sign_in("approver")
    administrator.open("/admin/service/")
    is_live(administrator)
    take = "User.objects.get(username='approver').groups.set({})"
    env, imports = console_server.env, "from django.contrib.auth.models import Group, User;"
    manage("shell", "-c", imports + take.format("[]"), env=env)
    give_back = take.format("[Group.objects.get(name='approver')]")
    try:
        administrator.until_text("Your role has changed", "#live-sign a")
    finally:
        manage("shell", "-c", imports + give_back, env=env)


def test_signing_out_elsewhere_is_shown(
    administrator: Screen, console_server: ServerProcess
) -> None:
    administrator.open("/admin/service/")
    is_live(administrator)
    administrator.run("document.getElementById('logout-form').target = 'elsewhere';")
    cookies = {c["name"]: c["value"] for c in administrator.driver.get_cookies()}
    requests.post(
        f"{console_server.url}/admin/logout/",
        cookies=cookies,
        data={"csrfmiddlewaretoken": cookies["claudeapi_csrf"]},
        timeout=PATIENCE,
    ).raise_for_status()
    administrator.until_text("Signed out", "#live-sign")
    administrator.one("#live-sign a").click()
    administrator.until(lambda: "/login/" in administrator.driver.current_url)


def test_no_page_complains_or_asks_another_host(
    administrator: Screen, console_server: ServerProcess, api: requests.Session
) -> None:
    talk(console_server, api)
    for page in PAGES:
        administrator.open(page)
        is_live(administrator)
    # "[DOM]" is advice on forms, which the console of a browser gives beside its errors.
    said = [said for said in administrator.complaints() if "[DOM]" not in said]
    assert [line for line in said if not any(known in line for known in EXPECTED)] == []
    assert {urlsplit(url).hostname for url in administrator.called()} == {"127.0.0.1"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(root: Screen, scheme: str) -> None:
    require("axe-core", axe_script().is_file())
    findings: list[str] = []
    for size in (DESKTOP, PHONE):
        root.show(size, scheme)
        for page in PAGES:
            root.open(page)
            is_live(root)
            findings += [f"{page} {size[0]} {found}" for found in root.accessibility()]
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_pages_of_signing_in_are_accessible_and_fit_a_phone(
    screen: Screen, console_server: ServerProcess, scheme: str
) -> None:
    require("axe-core", axe_script().is_file())
    screen.base = console_server.url
    screen.show(PHONE, scheme)
    turn_on = (
        "from django.contrib.auth.models import User; from django.utils import timezone; "
        "from console.sign_in import totp; f = totp.begin(User.objects.get(username='viewer')); "
        "f.confirmed_at = timezone.now(); f.save()"
    )
    manage("shell", "-c", turn_on, env=console_server.env)
    try:
        screen.driver.delete_all_cookies()
        screen.open("/admin/login/")
        assert screen.accessibility() == []
        screen.one("[name=username]").send_keys("viewer")
        screen.one("[name=password]").send_keys(PASSWORD + "\ue007")
        screen.until_text("One more step")
        assert screen.accessibility() == []
        assert not screen.is_wider_than_the_screen()
        screen.type("000000\ue007")
        screen.until_text("This code was not right")
        assert screen.accessibility() == []
    finally:
        manage("second_factor", "remove", "viewer", env=console_server.env)


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_no_page_is_wider_than_the_screen_or_cuts_anything_off(
    root: Screen, size: tuple[int, int]
) -> None:
    root.show(size)
    wide = []
    for page in (*PAGES, *LISTS):
        root.open(page)
        if root.is_wider_than_the_screen() or root.run(CUT_OFF) or root.run(SCROLLS):
            wide.append(page)
    assert wide == []


def test_the_charts_change_without_a_reload(
    administrator: Screen, console_server: ServerProcess, api: requests.Session
) -> None:
    talk(console_server, api)
    administrator.open("/admin/")
    administrator.run("window.stayed = true;")
    administrator.one("a[href*='span=day'][data-choice]").click()
    administrator.until(
        lambda: administrator.all("a[href*='span=day'][data-choice][aria-current=true]")
    )
    assert administrator.all(".chart rect[class^=series-]")
    assert administrator.run("return window.stayed") is True
    assert "span=day" in administrator.driver.current_url


@pytest.fixture
def _runs_again(console_server: ServerProcess) -> Iterator[None]:
    """The service runs afterwards, however far a test came."""
    yield
    run = "from sessions_app.models import ServiceSwitch; ServiceSwitch.objects.all().delete()"
    manage("shell", "-c", run, env=console_server.env)


@pytest.mark.usefixtures("_runs_again")
def test_the_service_is_paused_and_resumed_by_keyboard_alone(administrator: Screen) -> None:
    tab, enter = "\ue004", "\ue007"

    def press_until(wanted: str) -> None:
        """Tab until the focus is on an element of this selector."""
        for _ in range(60):
            administrator.type(tab)
            if administrator.run("return document.activeElement.matches(arguments[0])", wanted):
                return
        raise AssertionError(f"the keyboard does not reach {wanted}")

    def banner() -> bool:
        """Whether it is shown, asked of whatever page there is at this moment."""
        script = "return !!document.querySelector('#service-banner')?.checkVisibility()"
        return bool(administrator.run(script))

    administrator.open("/admin/")
    is_live(administrator)
    press_until(".ways a[href='/admin/service/']")
    administrator.type(enter)
    administrator.one("#reason")
    press_until("#reason")
    administrator.type("By keyboard" + enter)
    administrator.until_text("Pause the service?")
    press_until("button.danger")
    administrator.type(enter)
    administrator.until(banner)
    assert "By keyboard" in administrator.text("#service-banner")
    press_until("button[value=running]")
    administrator.type(enter)
    administrator.until(lambda: not banner())


def test_the_theme_is_switched_and_kept(administrator: Screen) -> None:
    administrator.open("/admin/")
    colour = "return getComputedStyle(document.body).backgroundColor"
    administrator.run("localStorage.setItem('theme', 'dark')")
    administrator.open("/admin/")
    dark = administrator.run(colour)
    administrator.run("localStorage.setItem('theme', 'light')")
    administrator.open("/admin/")
    assert administrator.run(colour) != dark
    administrator.run("localStorage.removeItem('theme')")
