"""A real browser for the tests: Debian's Chromium without a window, driven over WebDriver."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "the browser tests need chromium and chromedriver: apt-get install chromium chromium-driver"
PATIENCE_SECONDS = 20.0
DESKTOP, PHONE = (1280, 900), (360, 780)
NO_SOCKET = "WebSocket connection to"

T = TypeVar("T")


def is_available() -> bool:
    return BROWSER is not None and DRIVER is not None


class Browser:
    """One window on one node's explorer. Mutable: it browses."""

    def __init__(self, profile: Path) -> None:
        assert BROWSER is not None
        assert DRIVER is not None
        options = webdriver.ChromeOptions()
        options.binary_location = BROWSER
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
        ):
            options.add_argument(argument)
        options.add_argument(f"--user-data-dir={profile}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(service=Service(DRIVER), options=options)
        self.base = ""
        self.resize(DESKTOP)

    def close(self) -> None:
        self.driver.quit()

    # --- the window

    def resize(self, size: tuple[int, int]) -> None:
        """Lay the page out for a screen of that many CSS pixels."""
        self._command(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )

    def prefer(self, **features: str) -> None:
        """What the reader's system prefers, as ``prefers_color_scheme="dark"``; none: nothing in particular."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._command("Emulation.setEmulatedMedia", features=named)

    def _command(self, name: str, **arguments: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, arguments)

    def open(self, path: str = "") -> None:
        """Load the page anew at ``/#/<path>`` and wait until it shows something."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.base}/#/{path}")
        self.wait(self.is_settled)

    def go(self, path: str) -> None:
        """Follow an address inside the page."""
        self.script("location.hash = arguments[0]", f"#/{path}")
        self.wait(self.is_settled)

    def is_settled(self) -> bool:
        return bool(self.script("return !document.getElementById('main').hasAttribute('aria-busy')"))

    # --- reading

    def script(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    @property
    def text(self) -> str:
        """All that a reader sees in the page's main part."""
        return str(self.script("return document.getElementById('main').innerText"))

    @property
    def hash(self) -> str:
        return str(self.script("return decodeURIComponent(location.hash)"))

    def all(self, selector: str) -> list[WebElement]:
        return list(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def one(self, selector: str) -> WebElement:
        """The first element of a selector, waited for."""
        return self.wait(lambda: next(iter(self.all(selector)), None))

    def wait(self, condition: Callable[[], T | None], what: str = "") -> T:
        """What ``condition`` gives once that is true; fails with what the page shows."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                found = condition()
            except StaleElementReferenceException:
                found = None
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"waited in vain{f' for {what}' if what else ''}; {self.hash} shows:\n{self.text[:3000]}"
                )
            time.sleep(0.05)

    def wait_for(self, *texts: str) -> None:
        for text in texts:
            self.wait(lambda text=text: text.lower() in self.text.lower(), repr(text))  # type: ignore[misc]

    def press(self, *keys: str) -> None:
        """Keys, wherever the focus is."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def search(self, query: str) -> None:
        """Find something by keyboard alone."""
        self.script("document.activeElement.blur()")
        self.driver.find_element(By.TAG_NAME, "body").send_keys("/")
        self.press(query, Keys.ENTER)

    def errors(self, *expected: str) -> list[str]:
        """What the browser complained of since the last call, but for lines that hold one of ``expected``."""
        log: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        lines = [str(entry["message"]) for entry in log if entry["level"] not in ("INFO", "DEBUG")]
        return [line for line in lines if not any(part in line for part in expected)]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the screen."""
        return int(self.script("return document.documentElement.scrollWidth - innerWidth"))

    def shoot(self, path: Path) -> None:
        """Save a picture of the whole page."""
        path.write_bytes(self.driver.get_screenshot_as_png())
