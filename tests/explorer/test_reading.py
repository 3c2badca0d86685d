"""The page for different readers: on a phone, in the dark, without a mouse, without motion, without sight."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.explorer.browser import PHONE, Browser
from tests.explorer.conftest import Chain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def paths(chain: Chain) -> list[str]:
    """An address of each kind of page."""
    dispute = chain.result("disputes_get", 0)
    number, move = int(dispute["ended"]["block"], 16), dispute["moves"][-1]["extrinsic"]
    who, task, program = dispute["challenger"], dispute["task"], dispute["claim"]["program"]
    lists = ["", "blocks", "extrinsics", "events", "validators", "workers", "tasks", "disputes", "search/zzz"]
    things = [f"block/{number}", f"extrinsic/{move}", f"account/{who}", f"worker/{who}", f"task/{task}"]
    return [*lists, *things, f"program/{program}", "dispute/0"]


def background(window: Browser) -> int:
    """How light the page's ground is, 0 to 255."""
    colour = window.script("return getComputedStyle(document.documentElement).backgroundColor")
    return int(str(colour).split("(")[1].split(",")[0])


def test_no_page_is_wider_than_a_phone(chain: Chain, window: Browser, paths: list[str]) -> None:
    window.resize(PHONE)
    for path in paths:
        window.open(path)
        assert window.overflow() <= 0, path
        assert window.one("h1").is_displayed()
    assert window.errors() == []


def test_the_page_follows_the_system_into_the_dark_and_a_choice_is_remembered(chain: Chain, window: Browser) -> None:
    window.open()
    assert background(window) > 200
    window.prefer(prefers_color_scheme="dark")
    window.wait(lambda: background(window) < 60)
    window.one("#theme").click()
    window.wait(lambda: background(window) > 200, "the light theme, chosen")
    window.open("blocks")
    assert background(window) > 200
    window.one("#theme").click()
    window.wait(lambda: background(window) < 60, "the dark theme, chosen")
    window.prefer(prefers_color_scheme="light")
    assert background(window) < 60
    window.one("#theme").click()
    window.wait(lambda: background(window) > 200, "the system's theme again")


def contrast(window: Browser, selector: str) -> float:
    """The WCAG contrast of an element's text against the panel it stands on."""
    return float(window.script(CONTRAST, selector))


CONTRAST = """
const luminance = (text) => {
  const parts = text.match(/[\\d.]+/g).slice(0, 3).map((one) => one / 255);
  const [r, g, b] = parts.map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const element = document.querySelector(arguments[0]);
let ground = element;
while (ground && /, 0\\)|transparent/.test(getComputedStyle(ground).backgroundColor)) ground = ground.parentElement;
const a = luminance(getComputedStyle(element).color);
const b = luminance(getComputedStyle(ground ?? document.documentElement).backgroundColor);
return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(chain: Chain, window: Browser, scheme: str) -> None:
    window.prefer(prefers_color_scheme=scheme)
    window.open("dispute/0")
    for selector in (
        "h1",
        ".lede",
        ".fact dt",
        "td .dim",
        ".badge.bad",
        ".bad-text",
        ".nav a:not([aria-current])",
        ".rung-left span",
    ):
        assert contrast(window, selector) >= 4.5, selector


def test_everything_can_be_reached_without_a_mouse(chain: Chain, window: Browser) -> None:
    window.open()
    window.press(Keys.TAB)
    assert window.script("return document.activeElement.id") == "skip"
    window.press(Keys.ENTER)
    assert window.script("return document.activeElement.tagName") == "H1"
    window.press("g", "d")
    window.wait(lambda: window.hash == "#/disputes")
    window.wait(lambda: window.one("h1").text == "Disputes")
    link = window.one("td a[href='#/dispute/0']")
    for _ in range(60):
        if window.script("return document.activeElement === arguments[0]", link):
            break
        window.press(Keys.TAB)
    window.press(Keys.ENTER)
    window.wait(lambda: window.hash == "#/dispute/0")
    assert window.wait(lambda: window.script("return document.activeElement.tagName") == "H1")
    window.press("?")
    assert window.one("dialog[open]").is_displayed()
    window.press(Keys.ESCAPE)
    window.wait(lambda: not window.all("dialog"))


def test_the_search_box_is_a_combobox(chain: Chain, window: Browser) -> None:
    window.open()
    window.press("/")
    box = window.one("#search-input")
    assert window.script("return document.activeElement === arguments[0]", box)
    window.press("0")
    window.wait(lambda: box.get_attribute("aria-expanded") == "true")
    window.press(Keys.ARROW_DOWN)
    active = window.wait(lambda: box.get_attribute("aria-activedescendant"))
    option = window.one(f"#{active}")
    assert option.get_attribute("aria-selected") == "true"
    kind = option.text.split()[0]
    window.press(Keys.ENTER)
    window.wait(lambda: window.hash.startswith(f"#/{kind}/"))
    window.press("/", "zzzz")
    window.wait(lambda: "Nothing found" in window.one("#search-results").text)
    window.press(Keys.ESCAPE)
    window.wait(lambda: box.get_attribute("aria-expanded") == "false")


NAMELESS = """
return [...document.querySelectorAll('button, a, input, [role=img], svg:not([aria-hidden])')].filter((one) => {
  if (one.closest('[aria-hidden=true], [role=img]') && one.getAttribute('role') !== 'img') return false;
  return !(one.getAttribute('aria-label') || one.textContent.trim() || one.getAttribute('aria-labelledby'));
}).map((one) => one.outerHTML.slice(0, 200));
"""


def test_every_control_and_drawing_has_a_name_and_every_page_a_heading(
    chain: Chain, window: Browser, paths: list[str]
) -> None:
    for path in paths:
        window.open(path)
        assert window.script(NAMELESS) == [], path
        assert len(window.all("h1")) == 1
        assert len(window.all("main")) == 1
        duplicates: Any = window.script(
            "const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);"
            "return ids.filter((one, place) => ids.indexOf(one) !== place)"
        )
        assert duplicates == [], path


def test_nothing_moves_for_those_who_asked_for_no_motion(chain: Chain, window: Browser) -> None:
    window.prefer(prefers_reduced_motion="reduce")
    window.open()
    assert window.script("return getComputedStyle(document.querySelector('tr')).animationName") == "none"
    assert window.script("return document.getAnimations().length") == 0


def test_a_hash_can_be_copied(chain: Chain, window: Browser) -> None:
    window.driver.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    window.open("block/3")
    button = window.one("button[aria-label='Copy block hash']")
    button.click()
    window.wait(lambda: button.get_attribute("data-copied") is not None)
    window.wait(lambda: window.script("return document.getElementById('announcer').textContent") == "block hash copied")
    assert window.script("return navigator.clipboard.readText()") == chain.result("explorer_block", 3)["hash"]
