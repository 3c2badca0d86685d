"""States that are rare on a real chain, and chains that want to harm whoever looks at them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from tests.explorer.browser import NO_SOCKET, PHONE, Browser
from tests.explorer.recorded import RecordedNode, Refused

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EXPECTED = (NO_SOCKET,)
HOSTILE = '<img src=x onerror="document.title=1">"\'><script>document.title=2</script>\u202eevil\u0000\u2066'
U64_MAX = str(2**63 - 1)


def test_without_a_websocket_the_page_asks_over_http(recorded: RecordedNode, window: Browser) -> None:
    window.open()
    window.wait(lambda: window.one(".connection-word").text == "polling")
    recorded.answers["explorer_statistics"]["best"] = {"number": "0x1869f", "hash": "0x" + "9f" * 32}
    window.wait(lambda: "99\u202f999" in window.one(".connection .height").text)
    assert window.errors(*EXPECTED) == []


def as_silence(dispute: Any, moves: int) -> Any:
    """The dispute as it would be if its defender had stopped answering after some moves."""
    dispute = copy.deepcopy(dispute)
    dispute["moves"] = dispute["moves"][:moves]
    numbers = [move["number"] for move in dispute["moves"]]
    dispute["levels"] = [level for level in dispute["levels"] if set(level["moves"]) & set(numbers)]
    last = dispute["levels"][-1]
    last.update(leaf=None, leafHash=None, leafLabel=None, moves=[one for one in last["moves"] if one in numbers])
    empty: dict[str, Any] = dict.fromkeys(dispute["leaf"])
    before: Any = {"before": [], "claimed": None, "computed": None}
    dispute["leaf"] = {**empty, "kind": "silence", "step": 97, "instructions": [], "operands": [], "registers": before}
    evidence = {
        **dispute["verdict"]["evidence"],
        "claimed": "",
        "computed": "",
        "opcode": "",
        "operands": [],
        "log": [],
    }
    dispute["verdict"] = {"winner": "challenger", "reason": "silence", "evidence": evidence}
    return {**dispute, "reason": "silence"}


def test_a_verdict_by_silence_has_no_operation(recorded: RecordedNode, window: Browser) -> None:
    recorded.answers["disputes_get"] = as_silence(recorded.answers["disputes_get"], 5)
    window.open("dispute/0")
    window.wait_for("Silence loses", "a player's clock ran out", "//Verifier wins", "step 97")
    assert [head.text for head in window.all(".rung.head h3")] == ["Segment", "Step"]
    assert window.errors(*EXPECTED) == []


@pytest.mark.parametrize("moves", [0, 1, 2, 3, 8, 11, 12, 13])
def test_an_open_dispute_is_drawn_as_far_as_it_came(recorded: RecordedNode, window: Browser, moves: int) -> None:
    dispute = (
        as_silence(recorded.answers["disputes_get"], moves)
        if moves
        else {**recorded.answers["disputes_get"], "moves": [], "levels": []}
    )
    dispute.update(
        status="open", ended=None, leaf=None, verdict=None, reason=None, payments=[], slashes=[], waitsFor="challenger"
    )
    recorded.answers["disputes_get"] = dispute
    window.open("dispute/0")
    window.wait_for("the challenger is to move", "blocks left", "Waits for")
    if not moves:
        window.wait_for("No move has been played yet")
    assert window.errors(*EXPECTED) == []


def test_a_state_packed_wrongly_is_told_as_such(recorded: RecordedNode, window: Browser) -> None:
    dispute = recorded.answers["disputes_get"]
    roots = {"claimed": "0x" + "aa" * 32, "computed": "0x" + "bb" * 32}
    dispute["leaf"].update(kind="pack", operator="pack", instructions=[], operands=[], register=None, **roots)
    dispute["leaf"]["registers"] = {"before": [], "claimed": None, "computed": None}
    dispute["verdict"]["reason"] = "wrong_pack"
    dispute["verdict"]["evidence"].update(operator="pack", operand="value 12 as 0.weight", **roots)
    window.open("dispute/0")
    window.wait_for("The state in dispute", "value 12 as 0.weight", "does not hold the value", "0xaaaa", "0xbbbb")
    assert window.errors(*EXPECTED) == []


def test_a_wrong_operand_shows_what_was_posted_and_what_was_opened(recorded: RecordedNode, window: Browser) -> None:
    dispute = recorded.answers["disputes_get"]
    dispute["leaf"]["kind"] = "operand"
    dispute["leaf"]["operands"][0].update(posted="0x3f800000", opened="0x40000000")
    dispute["verdict"]["reason"] = "wrong_operand"
    window.open("dispute/0")
    window.wait_for("disagree on what one of them reads", "0x3f800000", "0x40000000", "the committed tensor holds")
    assert window.errors(*EXPECTED) == []


def test_a_dispute_whose_blocks_were_pruned_says_so(recorded: RecordedNode, window: Browser) -> None:
    def pruned(params: Any) -> Any:
        raise Refused(-32001, "block 12 was pruned from this node")

    recorded.answers["disputes_get"] = pruned
    window.open("dispute/0")
    window.wait_for("No such dispute", "pruned from this node")


def test_a_node_without_an_index_shows_what_it_can(recorded: RecordedNode, window: Browser) -> None:
    recorded.is_indexed = False
    recorded.answers["explorer_statistics"]["indexed"] = None
    for path, expected in {
        "": ("This node keeps no index", "Best block"),
        "tasks": ("This node keeps no index",),
        "extrinsics": ("This node keeps no index",),
        "events": ("This node keeps no index",),
        "dispute/0": ("This node keeps no index",),
        "task/0x00": ("replayed, equal", "This node keeps no index"),
        "account/5": ("Free", "This node keeps no index"),
        "worker/5": ("Earnings",),
        "block/5": ("state root",),
        "validators": ("Validators",),
    }.items():
        window.open(path)
        window.wait_for(*expected)
    window.search("12")
    window.wait(lambda: window.hash == "#/block/12")
    assert window.errors(*EXPECTED) == []


def test_an_empty_chain_invites(recorded: RecordedNode, window: Browser) -> None:
    nothing = {"items": [], "next": None}
    recorded.answers.update(
        tasks_list=nothing,
        disputes_list=nothing,
        explorer_extrinsics=nothing,
        workers_list=nothing,
        explorer_events=nothing,
    )
    for path, expected in {
        "": "solvent task submit",
        "tasks": "No task has been submitted yet",
        "disputes": "Nobody has disputed a claim",
        "workers": "Nobody offers to work",
        "extrinsics": "Nobody has signed anything yet",
        "events": "No such event yet",
    }.items():
        window.open(path)
        window.wait_for(expected)


def spoil(value: Any) -> Any:
    """Every text that a stranger chooses, replaced by one that wants to be markup."""
    if isinstance(value, dict):
        return {
            name: HOSTILE
            if name in ("name", "label", "leafLabel", "message", "op", "from", "chain", "reason")
            else spoil(one)
            for name, one in value.items()
        }
    return [spoil(one) for one in value] if isinstance(value, list) else value


def test_hostile_text_stays_text(recorded: RecordedNode, window: Browser) -> None:
    recorded.answers = {method: spoil(answer) for method, answer in recorded.answers.items()}
    block = recorded.answers["explorer_extrinsic"]
    block.update(ok=False, error={"pallet": HOSTILE, "code": HOSTILE, "message": HOSTILE * 50})
    block["arguments"] = {
        HOSTILE: HOSTILE,
        "data": "0x" + "3c" * 65_536,
        "deep": [[[[[[[[[[[["x"]]]]]]]]]]]],
        "many": list(range(5000)),
    }
    window.open()
    for path in (
        "",
        "task/0x00",
        "dispute/0",
        "extrinsic/0x00",
        "program/0x00",
        "account/5",
        "search/x",
        "block/1",
        "events",
        "workers",
    ):
        window.open(path)
        assert window.all("main img, main script, main iframe") == []
        assert str(window.script("return document.title")).endswith("Solvent")
        assert "\u202e" not in window.text
        assert window.overflow() <= 0, path
    window.resize(PHONE)
    window.open("extrinsic/0x00")
    assert window.overflow() <= 0
    window.one("details.cut summary").click()
    window.wait_for("3c3c3c3c" * 40)
    assert window.overflow() <= 0
    assert window.errors(*EXPECTED) == []


def test_a_hostile_address_stays_text(recorded: RecordedNode, window: Browser) -> None:
    window.open("search/%3Cimg src=x onerror=alert(1)%3E")
    window.wait_for("<img src=x onerror=alert(1)>")
    recorded.answers["explorer_block"] = None
    window.open("block/" + "%3Cscript%3E" * 200)
    window.wait_for("No such block")
    assert window.overflow() <= 0
    assert window.errors(*EXPECTED) == []


def test_huge_values_are_cut_and_stay_exact_where_it_matters(recorded: RecordedNode, window: Browser) -> None:
    task = recorded.answers["tasks_get"]
    one = task["proof"]["segments"][1]
    task["proof"]["segments"] = [{**one, "segment": number, "passedBy": [], "failedBy": []} for number in range(5000)]
    task["proof"]["segments"][4321]["failedBy"] = one["passedBy"] or [task["submitter"]]
    task.update(steps=10**12, step=10**11, escrow=U64_MAX)
    recorded.answers["tasks_progress"] = [
        {**recorded.answers["tasks_progress"][0], "step": step * 5 * 10**7, "loss": loss}
        for step, loss in enumerate([2.5, "NaN", "Infinity", 1e30, 1.5] * 400)
    ]
    window.open("task/0x00")
    window.wait_for("9\u202f223\u202f372\u202f036.8547", "replayed, differs", "reports were no number")
    assert len(window.all(".segments svg g")) <= 250
    assert (
        window.one("data[value='" + U64_MAX + "']").get_attribute("title")
        == "9\u202f223\u202f372\u202f036\u202f854\u202f775\u202f807 units"
    )
    assert window.overflow() <= 0
    assert window.errors(*EXPECTED) == []


def test_a_failing_node_is_quoted_and_can_be_asked_again(recorded: RecordedNode, window: Browser) -> None:
    def broken(params: Any) -> Any:
        raise Refused(-32603, "Internal error; the node's log has the details")

    whole, recorded.answers["explorer_validators"] = recorded.answers["explorer_validators"], broken
    window.open("validators")
    window.wait_for("The node says: Internal error", "-32603")
    recorded.answers["explorer_validators"] = whole
    window.one("main button").click()
    window.wait_for("A development chain")


def test_a_list_grows_by_pages(recorded: RecordedNode, window: Browser) -> None:
    template = recorded.answers["explorer_blocks"]["items"][0]

    def blocks(params: Any) -> Any:
        start = int(params.get("cursor") or 100)
        items = [
            {**template, "number": hex(number), "hash": f"0x{number:064x}"} for number in range(start, start - 10, -1)
        ]
        return {"items": items, "next": str(start - 10) if start > 80 else None}

    recorded.answers["explorer_blocks"] = blocks
    window.open("blocks")
    for expected in (20, 30):
        window.one(".more button").send_keys(Keys.ENTER)
        window.wait(lambda expected=expected: len(window.all("tbody tr")) == expected)  # type: ignore[misc]
    assert not window.all(".more button")


def test_the_votes_of_a_round_are_drawn_against_two_thirds(recorded: RecordedNode, window: Browser) -> None:
    accounts = [f"5{'ABCD'[place] * 47}" for place in range(4)]
    votes = [{"currentWeight": weight, "missing": accounts[: 4 - weight // 100]} for weight in (300, 100)]
    best = {"round": 17, "totalWeight": 400, "thresholdWeight": 267, "prevotes": votes[0], "precommits": votes[1]}
    recorded.answers["explorer_validators"].update(
        hasOneAuthor=False,
        session=3,
        setId=2,
        validators=[
            {"account": one, "sessionKey": one, "weight": "100000000000", "share": 250_000_000} for one in accounts
        ],
        finality={"setId": 2, "best": best, "background": []},
    )
    recorded.answers["explorer_statistics"]["best"]["number"] = "0x100"
    recorded.answers["explorer_statistics"]["finalized"]["number"] = "0xfd"
    window.open("validators")
    window.wait_for(
        "Round 17", "set 2", "prevotes", "75\u202f%, 1 missing", "25\u202f%, 3 missing", "3 blocks behind the best"
    )
    marks = window.script("return [...document.querySelectorAll('.threshold')].map((one) => one.style.left)")
    assert marks == ["66.75%", "66.75%"]
    assert window.errors(*EXPECTED) == []


def as_votes(recorded: RecordedNode, weight: int, missing: list[str]) -> dict[str, Any]:
    """Four validators, of whose weight of 400 so much has voted in both stages."""
    keys = [f"5{letter * 46}" for letter in "ABCD"]
    members = [{"account": key, "sessionKey": key, "weight": "100", "share": 250_000_000} for key in keys]
    stage = {"currentWeight": weight, "missing": [keys["ABCD".index(one)] for one in missing]}
    round_ = {"round": 7, "totalWeight": 400, "thresholdWeight": 267, "prevotes": stage, "precommits": stage}
    finality = {"setId": 1, "best": None, "background": [round_]}
    known = {**recorded.answers["explorer_validators"], "hasOneAuthor": False}
    return {**known, "validators": members, "finality": finality}


def test_a_silent_validator_is_named_and_the_bars_follow_the_votes(recorded: RecordedNode, window: Browser) -> None:
    def width() -> float:
        found = "document.querySelector('.votes .meter span').getBoundingClientRect()"
        whole = "document.querySelector('.votes .meter').getBoundingClientRect()"
        return float(window.script(f"return {found}.width / {whole}.width"))

    recorded.answers["explorer_validators"] = as_votes(recorded, 300, ["C"])
    window.open("validators")
    window.wait_for("round 7", "1 missing")
    assert [badge.text for badge in window.all("table .badge")] == ["voted", "voted", "silent", "voted"]
    assert abs(width() - 0.75) < 0.01
    recorded.answers["explorer_validators"] = as_votes(recorded, 400, [])
    recorded.answers["explorer_statistics"]["best"] = {"number": "0x1869f", "hash": "0x" + "9f" * 32}
    window.wait(lambda: [badge.text for badge in window.all("table .badge")] == ["voted"] * 4)
    assert abs(width() - 1) < 0.01
    assert window.errors(*EXPECTED) == []
