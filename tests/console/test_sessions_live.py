"""Sessions, approvals and the playground in real browsers against a running server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.console.chromium import Chromium
from tests.console.staging import stage
from tests.server_process import ServerProcess, manage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def people(server: ServerProcess) -> None:
    stage(server.env, "people")


@pytest.fixture(scope="module")
def otto(server: ServerProcess, people: None) -> Iterator[Chromium]:
    """An operator."""
    browser = Chromium(server.url).sign_in("otto")
    yield browser
    browser.quit()


@pytest.fixture(scope="module")
def anna(server: ServerProcess, people: None) -> Iterator[Chromium]:
    """An approver."""
    browser = Chromium(server.url).sign_in("anna")
    yield browser
    browser.quit()


@pytest.fixture
def staged(server: ServerProcess, otto: Chromium, anna: Chromium) -> dict[str, Any]:
    """Approvals that nobody has answered yet, whatever an earlier try did."""
    for browser in (otto, anna):
        browser.open("/admin/")  # away from those that are removed
    return stage(server.env, "no_approvals", "approvals")


@pytest.fixture(autouse=True)
def _quiet(server: ServerProcess, otto: Chromium, anna: Chromium) -> Iterator[None]:
    """No complaint in the console, and no call to anybody else, whatever a test does."""
    yield
    for browser in (otto, anna):
        assert [told for told in browser.complaints() if "ERR_CONNECTION" not in told] == []
        assert {url for url in browser.called() if not url.startswith(server.url)} == set()


def begin(otto: Chromium, prompt: str, engine: str = "messages") -> str:
    """Begin to play; the session's id."""
    otto.open("/admin/playground/")
    Select(otto.one("[name=engine]")).select_by_value(engine)
    otto.run("document.querySelector('[name=prompt]').value = arguments[0]", prompt)
    otto.one(".pg-form button").click()
    otto.until(lambda: otto.driver.current_url.rstrip("/")[-36:].count("-") == 4)
    return otto.driver.current_url.rstrip("/")[-36:]


def test_two_browsers_see_a_reply_as_it_comes_and_its_cancelling(
    otto: Chromium, anna: Chromium
) -> None:
    session = begin(otto, "[[sim slow n=2000 delay=100ms]]")
    anna.open(f"/admin/sessions/{session}/")
    for browser in (otto, anna):
        browser.until_text("tok3 tok4", ".cv-live .cv-plain")
        browser.until_text("running", ".cv-turn-head .badge")

    otto.one("[data-dialog=ask-cancel]").click()
    otto.one("#ask-cancel button").click()

    for browser in (otto, anna):
        browser.until_text("cancelled", ".cv-turn-head .badge")
        browser.until_text("RUN_CANCELLED", ".cv-turn .cv-error")
        browser.until(lambda seen=browser: not seen.all(".cv-live"))
        browser.until_text("tok3 tok4", ".cv-md")
    assert not anna.all("[data-dialog]"), "an approver has no buttons"


def test_what_is_written_is_followed_unless_somebody_reads_elsewhere(otto: Chromium) -> None:
    begin(otto, "[[sim slow n=1000 delay=2ms]] [[sim stall after=950 for=8s]]")
    end = "return document.querySelector('[data-end]').getBoundingClientRect().bottom - innerHeight"
    otto.until_text("tok900", ".cv-live")
    otto.until(lambda: otto.run("return scrollY") > 0 and abs(otto.run(end)) < 120)

    otto.run("scrollTo(0, 0)")
    otto.until_text("completed", ".cv-turn-head .badge")

    assert otto.run("return scrollY") == 0


def test_the_playground_shows_stream_events_and_programs(otto: Chromium) -> None:
    begin(otto, "")
    assert '"Hello"' in otto.text("#pg-curl")
    otto.one("#pg-prompt").send_keys("It's <b>me</b>")
    assert "\"It'\\''s <b>me</b>\"" in otto.text("#pg-curl")
    assert '"It\'s <b>me</b>"' in otto.text("#pg-python")

    otto.type(Keys.CONTROL + Keys.ENTER)

    otto.until_text("completed", ".cv-turn-head .badge")
    otto.until_text("You said", ".cv-md")
    otto.until_text("complete", "#pg-events")
    assert otto.run("return document.querySelector('#content b')") is None
    otto.one("#pg-prompt").send_keys("[[sim status code=529]]" + Keys.CONTROL + Keys.ENTER)
    otto.until_text("UPSTREAM_OVERLOADED", ".cv-turn:last-child .cv-error")


def test_many_events_at_once_cost_the_page_one_layout(otto: Chromium) -> None:
    begin(otto, "")
    otto.run(
        """const events = document.getElementById("pg-events");
           const { get } = Object.getOwnPropertyDescriptor(Element.prototype, "scrollHeight");
           window.looks = 0;
           Object.defineProperty(events, "scrollHeight",
             { get() { window.looks += 1; return get.call(this); } });
           for (let id = 1; id <= 1000; id += 1) {
             const detail = { id, name: "message", data: { message: { type: "assistant" } } };
             document.dispatchEvent(new CustomEvent("console:event", { detail }));
           }"""
    )

    otto.until_text("1000", "#pg-events > :last-child")

    assert otto.run("return window.looks") <= 2
    assert len(otto.all("#pg-events > details")) == 300


@pytest.mark.parametrize("page", ["playground", "sessions"])
def test_a_session_that_is_gone_is_not_waited_for(
    otto: Chromium, server: ServerProcess, page: str
) -> None:
    session = begin(otto, "")
    otto.open(f"/admin/{page}/{session}/")
    otto.until_text("Live", "#live-sign")
    imports = "from sessions_app.models import Session;"
    manage("shell", "-c", f"{imports} Session.objects.get(pk='{session}').delete()", env=server.env)

    otto.run("window.dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")

    otto.until_text("no longer there", "#live-sign a")
    assert [told for told in otto.complaints() if "404" not in told] == []


def test_what_is_sent_twice_in_a_hurry_happens_once(otto: Chromium) -> None:
    session = begin(otto, "")
    otto.one("#pg-prompt").send_keys("Hello")
    twice = "for (const _ of [1, 2]) document.querySelector(arguments[0]).requestSubmit()"
    otto.run(twice, "#pg-composer")
    otto.until_text("completed", ".cv-turn-head .badge")
    otto.one("#pg-prompt").send_keys("Again" + Keys.CONTROL + Keys.ENTER)
    otto.until_text("completed", ".cv-turn:nth-of-type(2) .badge")
    otto.open(f"/admin/runs/?session={session}")
    assert len(otto.all(".cv-rows tbody tr")) == 2

    otto.open(f"/admin/sessions/{session}/")
    otto.one("[data-dialog=ask-fork]").click()
    otto.run(twice, "#ask-fork form")
    otto.until(lambda: session not in otto.driver.current_url)
    otto.open(f"/admin/sessions/{session}/")
    assert len(otto.all(".cv-tree ul li")) == 1


def test_a_dialog_asks_and_may_be_left_again(otto: Chromium) -> None:
    session = begin(otto, "Hello")
    otto.open(f"/admin/sessions/{session}/")
    otto.one(".menu > summary").click()
    otto.one("[data-dialog=ask-end]").click()
    otto.until(lambda: otto.all("#ask-end[open]"))
    otto.type(Keys.ESCAPE)
    otto.until(lambda: not otto.all("dialog[open]"))
    otto.one(".menu > summary").click()
    otto.one("[data-dialog=ask-end]").click()
    assert otto.run("return document.activeElement.textContent.trim()") == "Back"
    otto.one("#ask-end button").click()
    otto.until_text("The session has ended.", ".messagelist")
    otto.until_text("ended", "#cv-facts")
    assert not otto.all("[data-dialog=ask-end]")


def test_approvals_are_answered_with_the_keyboard_and_others_see_it(
    otto: Chromium, anna: Chromium, staged: dict[str, Any]
) -> None:
    for browser in (otto, anna):
        browser.open("/admin/approvals/")
        browser.until(lambda seen=browser: seen.driver.title.startswith("(6) "), "title")
        assert len(browser.all(".ap-form")) == 6
    assert anna.text(".ap-left").endswith("left")

    # The edit is denied with a word of why, and the first one allowed.
    anna.one("body").send_keys("j")
    anna.type("j")
    anna.type("d")
    anna.type("Not today" + Keys.ENTER)
    done = f'[data-approval="{staged["edit"]}"].ap-done'
    anna.until_text("denied", done)
    gone = f'[data-approval="{staged["edit"]}"]'
    otto.until_text("operator:anna", gone)
    otto.until_text("Not today", gone)

    # Two at once: the second is told politely who was first.
    for browser in (otto, anna):
        browser.until(lambda seen=browser: not seen.all(".ap-settling"))
    allow = "document.querySelector(`[data-approval='${arguments[0]}'] [value=once]`).click()"
    anna.run(allow, staged["bash"])
    otto.run(allow, staged["bash"])
    told = [browser.text(f'[data-approval="{staged["bash"]}"]') for browser in (otto, anna)]
    for browser in (otto, anna):
        browser.until(lambda seen=browser: len(seen.all(".ap-form")) == 4)
        browser.until(lambda seen=browser: seen.driver.title.startswith("(4) "), "title")
    told = [browser.text(f'[data-approval="{staged["bash"]}"]') for browser in (otto, anna)]
    assert all("allowed" in text for text in told)
    assert any("was first" in text or "operator:" in text for text in told)


def test_a_question_is_answered_and_an_input_is_changed(
    otto: Chromium, staged: dict[str, Any]
) -> None:
    otto.open("/admin/approvals/")
    question = f'[data-approval="{staged["question"]}"]'
    otto.one(f"{question} [value=once]").click()
    otto.until_text("has no answer yet", question)
    otto.one(f'{question} input[value="Blue"]').click()
    otto.one(f"{question} [value=once]").click()
    otto.until_text("allowed", f"{question}.ap-done")

    otto.until(lambda: not otto.all(".ap-settling"))
    other = f'[data-approval="{staged["other"]}"]'
    otto.run("document.querySelector(arguments[0]).focus()", other)
    otto.type("e")
    area = otto.one(f"{other} textarea")
    otto.until(lambda: otto.driver.switch_to.active_element == area)
    area.clear()
    area.send_keys("{")
    assert "Allow with this input" in otto.one(f"{other} .ap-allow").text
    otto.one(f"{other} .ap-allow").click()
    otto.until_text("not valid JSON", other)
    area = otto.one(f"{other} textarea")
    area.clear()
    area.send_keys('{"url": "https://example.com/2"}')
    otto.one(f"{other} .ap-allow").click()
    otto.until_text("allowed", f"{other}.ap-done")
    otto.open(f"/admin/approvals/{staged['other']}/")
    assert "https://example.com/2" in otto.text("#content")
