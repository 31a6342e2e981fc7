"""Approvals under somebody's hands: keys that are held, answers that come late, lost fetches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from console.reading import text
from tests.console.browser import DESKTOP, PHONE, Screen
from tests.console.chromium import Chromium
from tests.console.staging import stage
from tests.server_process import ServerProcess, copy_of, environment

pytestmark = pytest.mark.slow

ALLOWED = "return document.querySelectorAll('.ap-done').length"
# However long a key takes to arrive here, the page still lets the hands settle.
HOLD_SETTLING = """
const real = window.setTimeout, held = [];
window.setTimeout = (go, ms, ...given) => ms === 500 ? held.push(go) && 0 : real(go, ms, ...given);
window.settleNow = () => { window.setTimeout = real; for (const go of held) go(); };
"""


@pytest.fixture(scope="module")
def inbox_server(
    migrated: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server of its own: what waits in the inbox is counted here."""
    env = environment(copy_of(migrated, tmp_path_factory.mktemp("inbox")))
    process = ServerProcess(env)
    stage(env, "people")
    yield process
    process.stop()


@pytest.fixture(scope="module")
def browser(inbox_server: ServerProcess) -> Iterator[Screen]:
    made = Screen(inbox_server.url)
    made.sign_in("anna")
    yield made
    made.quit()


@pytest.fixture
def staged(inbox_server: ServerProcess, browser: Chromium) -> dict[str, Any]:
    """Six that wait, on the inbox, and nothing that waited before."""
    made = stage(inbox_server.env, "no_approvals", "approvals")
    browser.open("/admin/approvals/")
    browser.until(lambda: len(browser.all(".ap-form")) == 6)
    return made


def key(browser: Chromium, text: str, repeated: int = 0) -> None:
    """A key that is pressed, held for so long, and let go."""
    down = {"type": "keyDown", "key": text, "text": text}
    for at in range(repeated + 1):
        browser.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {**down, "autoRepeat": bool(at)})
    browser.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", "key": text})


def settled(browser: Chromium) -> None:
    browser.until(lambda: not browser.all(".ap-settling"), "settling")


def selected(browser: Chromium) -> str:
    return str(browser.run("return document.querySelector('.ap-current')?.dataset.approval"))


def test_a_key_that_is_held_allows_one_call(browser: Chromium, staged: dict[str, Any]) -> None:
    key(browser, "j")
    assert selected(browser) == staged["bash"]

    browser.run(HOLD_SETTLING)
    key(browser, "a", repeated=30)
    browser.until(lambda: browser.run(ALLOWED) == 1)
    key(browser, "a")  # at once, before anybody has read the next one
    assert browser.all(".ap-settling")
    browser.run("window.settleNow()")
    settled(browser)

    assert browser.run(ALLOWED) == 1
    assert selected(browser) == staged["edit"]
    key(browser, "a")
    browser.until(lambda: browser.run(ALLOWED) == 2)


def test_what_was_typed_into_an_input_is_what_is_allowed(
    browser: Chromium, staged: dict[str, Any]
) -> None:
    card = f'[data-approval="{staged["granting"]}"]'
    browser.run("document.querySelector(arguments[0]).focus()", card)
    key(browser, "e")
    area = browser.one(f"{card} textarea")
    browser.until(area.is_displayed)
    area.clear()
    area.send_keys('{"query": "news"}')
    assert not browser.one(f"{card} [value=session]").is_enabled()
    area.send_keys(Keys.ESCAPE)

    key(browser, "a")

    browser.until_text("input changed", f"#ap-over {card}.ap-done")
    browser.open(f"/admin/approvals/{staged['granting']}/")
    assert '"news"' in browser.text("#content")


def test_a_viewers_inbox_is_as_live_as_everybodys(
    browser: Chromium, staged: dict[str, Any], inbox_server: ServerProcess
) -> None:
    browser.sign_in("vera")
    browser.open("/admin/approvals/")
    browser.until(lambda: len(browser.all("[data-open]")) == 6)

    stage(inbox_server.env, "no_approvals", "approvals")

    browser.until(lambda: not browser.all(f'[data-open][data-approval="{staged["bash"]}"]'))
    browser.until(lambda: len(browser.all("[data-open]")) == 6)
    assert not browser.all("[data-help]")
    browser.sign_in("anna")


def test_an_answer_that_comes_late_leaves_the_hands_where_they_are(
    browser: Chromium, staged: dict[str, Any]
) -> None:
    word = browser.one(f'[data-approval="{staged["other"]}"] input[name=message]')
    browser.run(
        """const fetched = window.fetch;
           window.fetch = (...given) => new Promise(go => { window.goOn = go; })
             .then(() => fetched(...given));"""
    )
    key(browser, "j")
    key(browser, "a")
    word.click()
    word.send_keys("Do as")

    browser.run("window.goOn()")
    browser.until(lambda: browser.run(ALLOWED) == 1)
    settled(browser)
    browser.type(" a sad dad said")  # wherever the focus is now

    assert word.get_attribute("value") == "Do as a sad dad said"
    assert browser.run(ALLOWED) == 1


def test_what_is_not_shown_whole_is_not_allowed_by_one_key(
    browser: Chromium, staged: dict[str, Any]
) -> None:
    card = f'[data-approval="{staged["long"]}"]'
    browser.run("document.querySelector(arguments[0]).focus()", card)

    key(browser, "a")
    browser.until_text("Not all of it is shown", card)
    assert browser.run("return document.activeElement.textContent") == "Read the whole input"
    browser.one(f"{card} [value=once]").click()

    browser.until_text("allowed", f"{card}.ap-done")


def test_only_what_grants_something_is_allowed_for_the_session(
    browser: Chromium, staged: dict[str, Any]
) -> None:
    granting = f'[data-approval="{staged["granting"]}"]'
    assert len(browser.all(".ap-card [value=session]")) == 1
    assert "every call of WebSearch" in browser.text(f"{granting} .ap-grants")
    browser.run("document.querySelector(arguments[0]).focus()", granting)

    key(browser, "s")

    browser.until_text("allowed", f"{granting}.ap-done")
    browser.open(f"/admin/approvals/{staged['granting']}/")
    assert "for the session" in browser.text("#content")


def test_an_approval_that_could_not_be_fetched_is_fetched_again(
    browser: Chromium, staged: dict[str, Any], inbox_server: ServerProcess
) -> None:
    browser.run(
        """const fetched = window.fetch;
           window.refused = 0;
           window.fetch = (url, ...given) =>
             window.refused < 2 && String(url).includes("/waiting/")
               ? Promise.reject(new TypeError(`lost ${++window.refused}`))
               : fetched(url, ...given);"""
    )
    stage(inbox_server.env, "approvals")

    browser.until(lambda: len(browser.all(".ap-form")) == 12)

    assert browser.run("return window.refused") == 2


def test_a_word_that_was_typed_stays_when_the_turn_is_drawn_anew(
    browser: Chromium, staged: dict[str, Any]
) -> None:
    browser.open(f"/admin/sessions/{staged['session']}/")
    word = f'[data-approval="{staged["bash"]}"] input[name=message]'
    browser.one(word).send_keys("Not yet")
    browser.run(
        """document.activeElement.blur();
           document.querySelector(".cv-turn").dataset.old = "";
           consoleConversation.fetchSoon(document.querySelector(".cv-turn").dataset.run, 0);"""
    )

    browser.until(lambda: not browser.all(".cv-turn[data-old]"), "the turn is drawn anew")

    assert browser.one(word).get_attribute("value") == "Not yet"


def test_a_button_that_is_a_link_is_pressed_by_the_space_bar(
    browser: Chromium, staged: dict[str, Any]
) -> None:
    browser.sign_in("otto")
    browser.open(f"/admin/sessions/{staged['session']}/")
    browser.one(".menu > summary").click()
    browser.run("document.querySelector('[data-dialog=ask-end]').focus()")

    browser.type(Keys.SPACE)

    browser.until(lambda: browser.all("#ask-end[open]"))
    browser.sign_in("anna")


def test_live_text_is_marked_as_the_server_marks_it(
    browser: Chromium, staged: dict[str, Any]
) -> None:
    browser.open(f"/admin/sessions/{staged['session']}/")
    points = [
        *range(0x300),
        *range(0x2000, 0x3200),
        *range(0xFE00, 0x10000),
        *range(0xE0000, 0xE0100),
    ]
    whole = "a".join(chr(point) for point in points)
    for name, marked in (("prose", text.prose), ("code", text.code)):
        assert browser.run(f"return consoleMarks.{name}(arguments[0])", whole) == marked(whole)
        lone = browser.run(f"return consoleMarks.{name}('a\\ud800b\\r\\n')")
        assert lone == marked("a\ud800b\r\n")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_its_screen_and_can_be_used_by_everybody(
    browser: Screen, staged: dict[str, Any], size: tuple[int, int], scheme: str
) -> None:
    browser.sign_in("otto")
    browser.show(size, scheme)
    one = f"/admin/sessions/{staged['session']}/"
    pages = (
        "/admin/approvals/",
        f"/admin/approvals/{staged['edit']}/",
        "/admin/approvals/answered/",
        "/admin/sessions/",
        "/admin/runs/",
        one,
        f"{one}events/",
        f"{one}do/end/",
        "/admin/playground/",
        "/admin/first-steps/",
    )
    for page in pages:
        browser.open(page)
        assert not browser.is_wider_than_the_screen(), page
        assert browser.accessibility() == [], page
    browser.show(DESKTOP)
    browser.sign_in("anna")
