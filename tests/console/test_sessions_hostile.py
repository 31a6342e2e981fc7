"""Hostile texts execute nothing: tried in a real browser, under the pages' own policy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.console.chromium import Chromium
from tests.console.hostile import TEXTS
from tests.console.staging import stage
from tests.server_process import ServerProcess

pytestmark = pytest.mark.slow

INVENTORY = """
const place = document.querySelector("#content");
const wrong = [];
for (const e of place.querySelectorAll("*")) {
  if (["SCRIPT","IMG","IFRAME","SVG","OBJECT","EMBED","STYLE","LINK","BASE","META","VIDEO","AUDIO"]
      .includes(e.tagName.toUpperCase())) wrong.push(e.outerHTML.slice(0, 200));
  for (const a of e.attributes)
    if (a.name.startsWith("on") || a.name === "style") wrong.push(a.name + "=" + a.value);
  if (e.tagName === "A" && e.closest(".cv-md") && !/^(https?|mailto):/.test(e.getAttribute("href")))
    wrong.push(e.outerHTML);
}
return wrong;
"""


@pytest.fixture(scope="module")
def stage_of_strangers(server: ServerProcess) -> dict[str, str]:
    return stage(server.env, "people", "no_approvals", "hostile")


@pytest.fixture(scope="module")
def browser(server: ServerProcess) -> Iterator[Chromium]:
    made = Chromium(server.url)
    yield made
    made.quit()


def test_there_are_more_than_a_hundred_of_them() -> None:
    assert len(set(TEXTS)) > 100


def test_nothing_of_it_runs_on_any_page(
    server: ServerProcess, stage_of_strangers: dict[str, str], browser: Chromium
) -> None:
    one = f"/admin/sessions/{stage_of_strangers['session']}/"
    browser.sign_in("otto")
    browser.complaints()
    pages = [
        one,
        f"{one}?before=102",
        f"{one}events/",
        f"{one}files/",
        f"{one}files/?path=0%20%3Cscript%3Ewindow.pwned%3D1%3C%E2%88%95script%3E",
        "/admin/sessions/",
        "/admin/sessions/?q=%3Cscript%3Ewindow.pwned%3D1%3C/script%3E&model=%22onx%3D1",
        "/admin/runs/",
        "/admin/approvals/",
        "/admin/approvals/answered/?q=%3Csvg%20onload%3Dwindow.pwned%3D1%3E",
    ]
    for page in pages:
        browser.open(page)
        browser.run("for (const d of document.querySelectorAll('details')) d.open = true")
        browser.until(lambda: browser.run("return document.readyState") == "complete")
        assert browser.run("return window.pwned") is None, page
        assert browser.run(INVENTORY) == [], page
        assert browser.complaints() == [], page
    assert {url for url in browser.called() if not url.startswith(server.url)} == set()

    browser.open("/admin/approvals/")
    command = browser.text(".ap-command")
    for marked in ("⟨U+202E⟩gnp.exe", "zero⟨U+200B⟩width⟨U+FEFF⟩⟨U+2060⟩", "␛[31mred", "⟨U+E0041⟩"):
        assert marked in command
