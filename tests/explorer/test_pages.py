"""Every page against a chain on which two tasks were trained, one by a cheat who was caught."""

from __future__ import annotations

import json
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from runtime.crypto import derive_seed, public_key, to_ss58
from runtime.pallets import balances
from tests.explorer.browser import Browser
from tests.explorer.conftest import Chain
from tests.explorer.recorded import RECORDING, record

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VERIFIER, EVE = (to_ss58(public_key(derive_seed(suri))) for suri in ("//Verifier", "//Eve"))


@pytest.fixture
def dispute(chain: Chain) -> Any:
    return chain.result("disputes_get", 0)


@pytest.fixture
def task(dispute: Any) -> str:
    return str(dispute["task"])


def test_the_overview_tells_what_the_chain_holds(chain: Chain, window: Browser) -> None:
    window.open()
    window.wait_for(
        "Solvent Development", "settled 2", "claim was false", "//Verifier", "//Eve", "every block is final"
    )
    assert len(window.all(".strip a")) > 10
    window.wait(lambda: window.one(".connection-word").text == "live")
    assert window.errors() == []


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("blocks", ("Blocks", "//Alice", "final")),
        ("extrinsics", ("disputes", "play", "//Eve", "ok")),
        ("events", ("Events",)),
        ("events/disputes", ("dispute opened", "dispute decided", "move played")),
        ("tasks", ("settled", "40 / 40", "//Solver")),
        ("tasks/failed", ("No task is failed now.",)),
        ("disputes", ("claim was false", "//Eve")),
        ("disputes/defender_won", ("None ended like that.",)),
        ("workers", ("//Solver", "//Verifier", "solver", "verifier")),
        ("workers/verifier", ("//Verifier",)),
        (f"worker/{VERIFIER}", ("Earnings", "audit repaid", "challenger", "+")),
        (f"worker/{EVE}", ("Earnings", "solver")),
        ("validators", ("A development chain", "the chain's one author")),
        (f"account/{VERIFIER}", ("Free", "Held", "bond", "submit verdict", "accept audit")),
        ("block/0", ("genesis", "none: this is the genesis")),
        ("nonsense", ("There is no such page",)),
        ("block/%ff", ("There is no such page",)),
        ("block/999999", ("No such block",)),
        (f"block/0x{'ab' * 32}", ("No such block",)),
        (f"task/0x{'ab' * 32}", ("No such task",)),
        ("task/not-a-hash", ("No such task",)),
        ("account/5Nobody", ("No such account",)),
        ("dispute/77", ("No such dispute",)),
        ("dispute/x", ("No such dispute",)),
        (f"extrinsic/0x{'ab' * 32}", ("No such extrinsic",)),
        (f"program/0x{'ab' * 32}", ("No such program",)),
        ("events/unheard.Of", ("No such",)),
    ],
)
def test_a_page_shows_what_it_should(chain: Chain, window: Browser, path: str, expected: tuple[str, ...]) -> None:
    window.open(path)
    window.wait_for(*expected)
    assert window.errors() == []
    assert "undefined" not in window.text
    assert "[object" not in window.text


def test_a_block_shows_its_body_and_leads_to_its_neighbours(chain: Chain, window: Browser, dispute: Any) -> None:
    number = int(dispute["ended"]["block"], 16)
    window.open(f"block/{number}")
    window.wait_for("disputes · play", "timestamp · set", "state root", "seal")
    window.one("a[rel=prev]").click()
    window.wait(lambda: window.one("h1").text == str(number - 1))
    window.press("]")
    window.wait(lambda: window.one("h1").text == str(number))


def test_an_extrinsic_shows_arguments_events_and_fee(chain: Chain, window: Browser, dispute: Any) -> None:
    window.open(f"extrinsic/{dispute['moves'][-1]['extrinsic']}")
    window.wait_for("disputes · play", "Arguments", "dispute decided", "fee", "SOLV", "//Eve")
    for summary in window.all(".event summary"):
        summary.click()
    window.wait_for("wrong_result", "amount")
    assert window.errors() == []


def test_a_failed_extrinsic_says_why(chain: Chain, window: Browser) -> None:
    too_much = balances.Transfer(public_key(derive_seed("//Bob")), 10**17)
    submitted = chain.client.submit(derive_seed("//Ferdie"), "balances", too_much)
    assert not chain.client.wait(submitted).ok
    window.open(f"extrinsic/0x{submitted.hash.hex()}")
    window.wait_for("balances · transfer", "The call left no trace", "100\u202f000\u202f000\u202fSOLV", "//Bob")


def test_a_task_is_told_as_a_story(chain: Chain, window: Browser, task: str) -> None:
    window.open(f"task/{task}")
    window.wait_for(
        "//Submitter submitted the task", "The draw among 1 candidate fell on //Eve", "//Eve posted the proof",
        "and got another state in segment", "opened dispute #0", "The proof is void", "Attempt 2",
        "every state equal, bit for bit", "Settled: the model's root is", "replayed, equal",
    )  # fmt: skip
    proof = chain.result("tasks_get", task)["proof"]
    assert len(window.all(".segments svg g")) == len(proof["segments"])
    assert len(window.all(".chart .line")) == 2
    window.one(".chart svg").send_keys(Keys.HOME)
    window.wait(lambda: "step" in window.one(".reading").text)
    assert window.errors() == []


def test_a_program_lists_its_nodes(chain: Chain, window: Browser, dispute: Any) -> None:
    window.open(f"program/{dispute['claim']['program']}")
    window.wait_for("matmul", "Next state", "Metrics", "v0")
    nodes = chain.result("tasks_program", dispute["claim"]["program"])["nodes"]
    assert len(window.all("main > section:nth-of-type(1) tbody tr")) == len(nodes)


def test_a_dispute_narrows_down_to_the_operation_that_decided(chain: Chain, window: Browser, dispute: Any) -> None:
    window.open("dispute/0")
    leaf, evidence = dispute["leaf"], dispute["verdict"]["evidence"]
    window.wait_for("The descent", "The operation in dispute", evidence["claimed"], evidence["computed"], "wins")
    heads = [head.text for head in window.all(".rung.head h3")]
    assert heads == [level["level"].capitalize() for level in dispute["levels"]]
    selections = sum(move["kind"] == "Select" for move in dispute["moves"])
    assert len(window.all("svg.fan .cell.chosen")) >= selections
    for level in dispute["levels"]:
        window.wait_for(level["label"], f"{level['width']} lea")
    for operand in next(one for one in leaf["instructions"] if one["disputed"])["operands"]:
        window.wait_for(operand)
    differing = bin(int(evidence["claimed"], 16) ^ int(evidence["computed"], 16)).count("1")
    assert len(window.all(".answer.false .bits .differs")) == differing
    assert len(window.all("section table tbody tr")) >= len(dispute["moves"])
    assert window.errors() == []


def test_the_moves_of_a_dispute_can_be_replayed_with_the_keyboard(chain: Chain, window: Browser, dispute: Any) -> None:
    window.open("dispute/0")
    slider = window.one("#move-slider")
    slider.send_keys(Keys.HOME)
    window.wait_for("Before the first move", "No move has been played yet")
    slider.send_keys(Keys.ARROW_RIGHT * 3)
    window.wait_for("Move 3 of", "plays select")
    assert [head.text for head in window.all(".rung.head h3")] == ["Segment"]
    slider.send_keys(Keys.END)
    window.wait_for(f"Move {len(dispute['moves'])} of", "The operation in dispute")
    window.one("#play").click()
    window.wait_for("Move 2 of")
    window.one("#play").click()
    window.wait(lambda: window.one("#play").text == "Play")


def test_search_finds_each_kind_of_thing(chain: Chain, window: Browser, dispute: Any, task: str) -> None:
    window.open()
    block = chain.result("explorer_block", 5)
    move = dispute["moves"][3]["extrinsic"]
    for query, expected in (
        ("5", "#/block/"),
        (block["hash"], f"#/block/{block['hash']}"),
        (block["hash"][2:], f"#/block/{block['hash']}"),
        (task, f"#/task/{task}"),
        (task[2:14], f"#/task/{task}"),
        (move, f"#/extrinsic/{move}"),
        (VERIFIER, f"#/account/{VERIFIER}"),
        ("nothing like this", "#/search/nothing like this"),
    ):
        window.search(query)
        window.wait(lambda expected=expected: window.hash.startswith(expected), f"{query} to lead to {expected}")  # type: ignore[misc]
    window.wait_for("Nothing on this chain goes by that")
    window.search("#0")
    window.wait(lambda: window.hash.startswith(("#/block/", "#/dispute/0")))


def test_the_recording_has_the_shapes_of_a_real_node(chain: Chain) -> None:
    recorded = json.loads(RECORDING.read_text("utf-8"))
    for method, answer in record(chain.result).items():
        assert shape(answer) == shape(recorded[method]), f"{method}: run python -m tests.explorer.recorded URL"


def shape(value: Any) -> Any:
    """The names of all fields, to two levels."""
    if isinstance(value, dict) and "items" in value:
        return sorted(value["items"][0]) if value["items"] else None
    return sorted(value) if isinstance(value, dict) else type(value).__name__
