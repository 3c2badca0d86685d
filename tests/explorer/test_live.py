"""The page while the chain moves: blocks arrive, accounts change, the node stops and comes back."""

from __future__ import annotations

import pytest

from runtime.crypto import derive_seed, public_key, to_ss58
from runtime.pallets import balances
from tests.explorer.browser import Browser
from tests.explorer.conftest import Chain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BOB = public_key(derive_seed("//Bob"))
LOST_CONNECTION = ("WebSocket connection to", "ERR_CONNECTION_REFUSED")


def top_block(window: Browser) -> int:
    """The number of the newest block in the overview's table."""
    rows = window.script("return [...document.querySelectorAll('table')].at(-1).querySelector('td').innerText")
    return int(str(rows).replace("\u202f", ""))


def test_blocks_appear_by_themselves(chain: Chain, window: Browser) -> None:
    window.open()
    window.wait(lambda: window.one(".connection-word").text == "live")
    first = top_block(window)
    window.wait(lambda: top_block(window) >= first + 2, "two more blocks")
    assert len(window.all(".strip a")) <= 60
    assert window.errors() == []


def test_an_update_keeps_focus_and_opened_sections(chain: Chain, window: Browser) -> None:
    window.open()
    link = window.one("#main section a[href^='#/task/']")
    window.script("arguments[0].focus()", link)
    first = top_block(window)
    window.wait(lambda: top_block(window) >= first + 2, "two more blocks")
    assert window.script("return document.activeElement === arguments[0]", link)


def test_a_transfer_shows_up_in_the_account_that_is_being_looked_at(chain: Chain, window: Browser) -> None:
    window.open(f"account/{to_ss58(BOB)}")
    window.wait_for("//Bob")
    before = len(window.all(".history"))
    chain.client.submit_and_wait(derive_seed("//Alice"), "balances", balances.Transfer(BOB, 1_234_000_000))
    window.wait(lambda: len(window.all(".history")) > before, "the transfer")
    window.wait_for("transfer", "transferred", "1.234")


def test_a_restarted_node_is_found_again_and_missed_blocks_are_shown(chain: Chain, window: Browser) -> None:
    window.open()
    window.wait(lambda: window.one(".connection-word").text == "live")
    first = top_block(window)
    chain.stop()
    banner = window.wait(lambda: next((one for one in window.all("#banner") if one.is_displayed()), None))
    assert "The node does not answer" in banner.text
    window.wait_for("settled 2")
    assert "Last" in window.text, "what was shown stays"
    chain.start()
    window.wait(lambda: window.one(".connection-word").text == "live", "the connection")
    window.wait(lambda: not window.one("#banner").is_displayed(), "the banner to go")
    window.wait(lambda: top_block(window) > first, "the blocks of the restarted node")
    assert window.errors(*LOST_CONNECTION) == []


def test_a_page_asked_for_while_the_node_is_down_appears_when_it_is_back(chain: Chain, window: Browser) -> None:
    window.open()
    chain.stop()
    window.wait(lambda: window.one(".connection-word").text == "node down")
    window.script("location.hash = '#/block/3'")
    window.wait_for("Nothing answers at this address")
    chain.start()
    window.wait_for("state root")
    assert window.one("h1").text == "3"
    window.errors()
