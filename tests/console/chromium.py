"""A real browser that remembers what it was refused, and whom it called."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from tests.conftest import require_program
from tests.console.staging import PASSWORD

PATIENCE = 60
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--window-size=1280,900",
)


class Chromium:
    """One browser, one person."""

    def __init__(self, base: str) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = require_program("chromium")
        for argument in ARGUMENTS:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.base = base
        self.driver = webdriver.Chrome(
            options=options, service=Service(require_program("chromedriver"))
        )
        self.driver.set_page_load_timeout(30)

    def sign_in(self, name: str) -> Chromium:
        """Sign in as one of the people of the stage."""
        self.driver.delete_all_cookies()
        self.open("/admin/login/")
        self.one("[name=username]").send_keys(name)
        self.one("[name=password]").send_keys(PASSWORD + Keys.ENTER)
        self.until(lambda: "/login/" not in self.driver.current_url)
        return self

    def open(self, path: str) -> None:
        """Open a page of the server."""
        self.driver.get(self.base + path)

    def one(self, selector: str) -> WebElement:
        """The first element, once there is one."""
        self.until(lambda: bool(self.all(selector)), selector)
        return self.all(selector)[0]

    def all(self, selector: str) -> list[WebElement]:
        """Every element there is now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def text(self, selector: str = "body") -> str:
        """The text of an element, all of it."""
        return str(self.run("return document.querySelector(arguments[0]).textContent", selector))

    def until(self, condition: Callable[[], Any], told: str = "") -> None:
        """Wait for a condition, at most so long."""
        wait = WebDriverWait(self.driver, PATIENCE, poll_frequency=0.05)
        wait.until(lambda _: condition(), told)

    def until_text(self, wanted: str, selector: str = "body") -> None:
        """Wait for a text in an element that may be replaced meanwhile."""
        script = """const element = document.querySelector(arguments[0]);
                    return !!element && element.textContent.includes(arguments[1])"""
        self.until(lambda: self.run(script, selector, wanted), f"{wanted!r} in {selector}")

    def type(self, keys: str) -> None:
        """Type, wherever the focus is."""
        self.driver.switch_to.active_element.send_keys(keys)

    def complaints(self) -> list[str]:
        """What is in the console since the last look."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def called(self) -> set[str]:
        """Every address asked for since the last look, but for what never leaves the browser."""
        found = set()
        for entry in self.driver.get_log("performance"):  # type: ignore[no-untyped-call]
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.add(message["params"]["request"]["url"])
        return {url for url in found if not url.startswith(("data:", "chrome", "about:"))}

    def quit(self) -> None:
        """Close it."""
        self.driver.quit()
