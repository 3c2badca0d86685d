"""What the explorer's methods tell of a market in which one solver cheated, was caught, and another one trained."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from runtime.crypto import derive_seed, public_key, to_ss58
from runtime.pallets import disputes, system
from solvent.following import follow_loss, follow_task, wait_until_final
from tests.rpc.story import Story
from tests.rpc.view import ask
from tests.scenarios.market import SUBMITTER
from tests.support.chain import account
from tests.support.node import running_node, solvent


def test_the_descent_of_a_dispute_narrows_to_the_operation_that_the_solver_falsified(story: Story) -> None:
    shown = story.result("disputes_get", 0)
    verdict = story.chain.read(disputes.VERDICTS, 0)
    assert shown["status"] == "challenger_won"
    assert [move["number"] for move in shown["moves"]] == list(range(len(shown["moves"])))
    for move, following in zip(shown["moves"], shown["moves"][1:], strict=False):
        assert move["next"] == following["phase"]
        assert move["after"] == following["before"]
    assert shown["moves"][-1]["next"] == "decided"
    widths = [move["before"]["last"] - move["before"]["first"] for move in shown["moves"] if move["before"]]
    assert widths[-1] == 0
    assert [level["level"] for level in shown["levels"]] == [level.level for level in verdict.trail]
    assert [level["leaf"] for level in shown["levels"]] == [level.leaf for level in verdict.trail]
    for level, below in zip(shown["levels"], shown["levels"][1:], strict=False):
        if below["level"] == "tensor":
            assert below["root"] == level["leafHash"]
    assert sorted(number for level in shown["levels"] for number in level["moves"]) == list(range(len(shown["moves"])))


def test_the_leaf_shows_the_instructions_operands_and_both_results(story: Story) -> None:
    shown = story.result("disputes_get", 0)
    leaf, evidence = shown["leaf"], shown["verdict"]["evidence"]
    [disputed] = [instruction for instruction in leaf["instructions"] if instruction["disputed"]]
    assert disputed["opcode"] == evidence["opcode"] == "FMA_F32"
    assert disputed["operands"] == evidence["operands"]
    assert [each["result"] for each in leaf["instructions"]] == [each["result"] for each in evidence["log"]]
    used = [
        source["operand"] for each in leaf["instructions"] for source in each["sources"] if source["kind"] == "load"
    ]
    assert used == list(range(len(leaf["operands"])))
    computed = {cell["register"]: cell["bits"] for cell in leaf["registers"]["computed"]}
    claimed = {cell["register"]: cell["bits"] for cell in leaf["registers"]["claimed"]}
    assert computed[leaf["register"]] == leaf["computed"] == evidence["computed"]
    assert claimed[leaf["register"]] == leaf["claimed"] == evidence["claimed"]
    assert float(leaf["claimedDecimal"]) != float(leaf["computedDecimal"])


def test_the_money_of_a_dispute_adds_up(story: Story) -> None:
    shown = story.result("disputes_get", 0)
    slashed = sum(int(slash["amount"]) for slash in shown["slashes"])
    assert slashed == sum(int(payment["amount"]) for payment in shown["payments"]) > 0
    assert {slash["account"] for slash in shown["slashes"]} == {to_ss58(account("//Mallory"))}


def test_a_timeline_tells_the_whole_life_in_order(story: Story) -> None:
    pages, cursor = [], None
    while True:
        page = story.result("tasks_timeline", story.task, 7, cursor)
        pages += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert pages == story.result("tasks_timeline", story.task, 100)["items"]
    kinds = [entry["kind"] for entry in pages]
    wanted = [
        "submitted", "assigned", "accepted", "heartbeat", "proof", "verifier_drawn", "audit_accepted", "audit_opened",
        "verdict", "dispute_opened", "slashed", "dispute_decided", "assigned", "heartbeat", "proof", "verdict",
        "window", "paid", "settled",
    ]  # fmt: skip
    rest = iter(kinds)
    assert all(kind in rest for kind in wanted), kinds
    assert {entry["attempt"] for entry in pages if entry["kind"] == "settled"} == {2}


def test_the_loss_curve_has_a_line_for_each_attempt(story: Story) -> None:
    points = story.result("tasks_progress", story.task)
    assert {point["attempt"] for point in points} == {1, 2}
    for attempt in (1, 2):
        mine = [point for point in points if point["attempt"] == attempt]
        assert mine[-1]["step"] == story.record.spec.steps
        assert mine[-1]["loss"] < mine[0]["loss"]


def test_a_task_shows_its_segments_audits_and_payments(story: Story) -> None:
    shown = story.result("tasks_get", story.task)
    assert shown["status"] == "settled"
    assert [segment["segment"] for segment in shown["proof"]["segments"]] == [0, 1, 2, 3]
    assert all(segment["passedBy"] for segment in shown["proof"]["segments"])
    assert shown["proof"]["segments"][-1]["end"] == shown["finalRoot"]
    assert {payment["role"] for payment in shown["payments"]} >= {"solver", "verifier", "challenger", "treasury"}
    assert [dispute["dispute"] for dispute in shown["disputes"]] == [0]
    program = story.result("tasks_program", shown["spec"]["program"])
    assert len(program["nodes"]) == shown["program"]["nodes"]
    assert story.result("proofs_get", story.task) == shown["proof"]


def test_tasks_and_disputes_are_listed_by_their_status(story: Story) -> None:
    [task] = story.result("tasks_list")["items"]
    assert task["task"] == story.task
    assert story.result("tasks_list", "settled")["items"] == [task]
    assert story.result("tasks_list", None, to_ss58(account(SUBMITTER)))["items"] == [task]
    assert story.result("tasks_list", "training")["items"] == []
    [dispute] = story.result("disputes_list")["items"]
    assert story.result("disputes_list", "challenger_won", story.task)["items"] == [dispute]
    assert story.result("disputes_list", "open")["items"] == []


def test_statistics_agree_with_the_chain(story: Story) -> None:
    shown = story.result("explorer_statistics")
    assert shown["tasks"]["total"] == shown["tasks"]["settled"] == 1
    assert shown["disputes"]["challenger_won"] == shown["disputes"]["total"] == 1
    assert int(shown["slashed"]) == sum(slash.amount for slash in story.record.slashes)
    blocks = story.result("explorer_blocks", 100)["items"]
    assert shown["extrinsics"] == sum(block["extrinsics"] for block in blocks)
    assert shown["events"] == sum(block["events"] for block in blocks)


def test_earnings_sum_up_to_what_the_worker_list_says(story: Story) -> None:
    for worker in story.result("workers_list")["items"]:
        earnings = story.result("workers_earnings", worker["account"], 100)["items"]
        paid = sum(int(item["amount"]) for item in earnings if item["kind"] == "paid")
        assert str(paid) == worker["earned"]
        slashed = sum(int(item["amount"]) for item in earnings if item["kind"] == "slashed")
        assert str(slashed) == worker["slashed"]


def test_search_finds_numbers_addresses_hashes_and_their_first_digits(story: Story) -> None:
    def kinds(query: str) -> set[tuple[str, str]]:
        return {(match["kind"], match["id"]) for match in story.result("explorer_search", query)}

    extrinsic = story.result("explorer_extrinsics", 1)["items"][0]
    assert ("task", story.task) in kinds(story.task[2:13])
    assert ("extrinsic", extrinsic["hash"]) in kinds(extrinsic["hash"])
    assert ("block", extrinsic["blockHash"]) in kinds(extrinsic["blockHash"][:20])
    address = to_ss58(account("//Solver1"))
    assert kinds(address) == {("account", address)}
    assert {kind for kind, _ in kinds("0")} == {"block", "dispute"}
    assert kinds("nothing of the kind") == set()


def test_an_extrinsic_and_its_block_tell_the_same(story: Story) -> None:
    listed = story.result("explorer_extrinsics", 1)["items"][0]
    alone = story.result("explorer_extrinsic", listed["hash"])
    block = story.result("explorer_block", listed["block"])
    assert block == story.result("explorer_block", listed["blockHash"])
    assert block["body"][listed["index"]] == alone
    assert {**alone, "events": None} == {**listed, "events": None}
    assert story.result("explorer_extrinsic", "0x" + "00" * 32) is None
    assert story.result("explorer_block", 10**9) is None


def test_an_accounts_history_names_everything_that_touched_it(story: Story) -> None:
    mallory = to_ss58(account("//Mallory"))
    history = story.result("explorer_accountHistory", mallory, 100)["items"]
    assert any(event["name"] == "Slashed" for item in history for event in item["events"])
    signed = [item["extrinsic"]["hash"] for item in history if item["signed"]]
    assert len(signed) == story.result("explorer_account", mallory)["nonce"]
    for item in history:
        assert item["signed"] or any(mallory in str(event["fields"]) for event in item["events"])


def test_the_holds_of_an_account_add_up_to_what_is_held(story: Story) -> None:
    for suri in ("//Mallory", "//Verifier1", "//Solver1", SUBMITTER):
        shown = story.result("explorer_account", to_ss58(account(suri)))
        assert sum(int(hold["amount"]) for hold in shown["holds"]) == int(shown["held"])


def test_events_of_one_kind_come_in_pages(story: Story) -> None:
    everything, cursor = [], None
    while True:
        page = story.result("explorer_events", "tasks", 5, cursor)
        everything += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    places = [(int(event["block"], 16), event["index"]) for event in everything]
    assert places == sorted(places, reverse=True)
    assert len(set(places)) == len(places)
    assert {event["pallet"] for event in everything} == {"tasks"}
    paid = story.result("explorer_events", "tasks.Paid", 100)["items"]
    assert paid == [event for event in everything if event["name"] == "Paid"]
    assert ask(story.view, "explorer_events", "nothing")["error"]["data"]["parameter"] == "kind"


def test_without_an_index_the_methods_that_need_one_say_so(story: Story) -> None:
    indexes, story.view.indexes = story.view.indexes, None  # type: ignore[assignment]
    try:
        assert ask(story.view, "tasks_timeline", story.task)["error"]["code"] == -32002
        assert story.result("tasks_get", story.task)["disputes"] == []
        assert story.result("explorer_statistics")["indexed"] is None
    finally:
        story.view.indexes = indexes


def test_the_command_line_shows_the_market_of_a_running_node(tmp_path: Path) -> None:
    with running_node(tmp_path) as (_, client):
        alice, bob = derive_seed("//Alice"), to_ss58(public_key(derive_seed("//Bob")))
        submitted = client.submit(alice, "system", system.Remark(b"final"))
        assert wait_until_final(client, submitted).ok
        for arguments in (("stats",), ("search", "0"), ("history", "//Alice"), ("prove", "//Bob")):
            shown = solvent("query", *arguments, "--url", client.url)
            assert shown.returncode == 0, shown.stderr
        proved = json.loads(solvent("query", "prove", bob, "--json", "--url", client.url).stdout)
        assert int(proved["free"]) > 0
        assert solvent("query", "dispute", "0", "--url", client.url).returncode == 1


def test_a_followed_task_is_told_whole_and_once(story: Story) -> None:
    class Offline:
        """A client over the view, whose subscription finds the task over."""

        def call(self, method: str, *params: Any) -> Any:
            return story.result(method, *params)

        def subscribe(self, method: str, *params: Any) -> Any:
            summary = story.result("tasks_list")["items"][0]
            news = SimpleNamespace(next_within=lambda seconds: {"task": summary, "entries": []})
            return nullcontext(news)

    entries = list(follow_task(Offline(), story.name))  # type: ignore[arg-type]
    assert entries == story.result("tasks_timeline", story.task, 100)["items"]
    losses = [beat.loss for beat in follow_loss(Offline(), story.name)]  # type: ignore[arg-type]
    assert losses == [point["loss"] for point in story.result("tasks_progress", story.task)]
