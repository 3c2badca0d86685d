"""The index follows the best chain through reorganisations, crashes and rebuilds, and its pages stay where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chain.db import Database
from rpc.blocks import load
from rpc.errors import UnknownBlock
from rpc.indexes import Indexes
from rpc.methods import TABLE
from runtime.crypto import public_key, to_ss58
from tests.rpc.view import View
from tests.support.ledger import ALICE, BOB, CHARLIE, DevChain

BOB_ACCOUNT, CHARLIE_ACCOUNT = public_key(BOB), public_key(CHARLIE)


def contents(indexes: Indexes) -> dict[bytes, bytes]:
    """Everything but the undo records, which only blocks that are not final have."""
    return {key: value for key, value in indexes.rows(b"", newest_first=False) if not key.startswith(b"u")}


def follow(indexes: Indexes) -> None:
    while indexes.advance():
        pass


def fork_of(folder: Path) -> tuple[DevChain, DevChain]:
    """Two chains with one common block; the second one is higher."""
    one, other = DevChain(folder / "one"), DevChain(folder / "other")
    one.transfer(ALICE, BOB_ACCOUNT, 5)
    common = one.seal(finalize=False)
    other.dispatch(other.ledger.on_executed(other.execute(common.block)))
    one.time = other.time = common.header.number * 10_000 + 1_000_000
    one.transfer(ALICE, BOB_ACCOUNT, 6)
    one.seal(finalize=False)
    other.transfer(BOB, CHARLIE_ACCOUNT, 7)
    for _ in range(3):
        other.seal(finalize=False)
    return one, other


def blocks_of(chain: DevChain) -> list[Any]:
    hashes = [chain.ledger.hash_at(number) for number in range(1, chain.ledger.head_number + 1)]
    return [chain.ledger.block(hash_) for hash_ in hashes if hash_]


def test_after_a_reorganisation_the_index_is_that_of_the_new_branch(tmp_path: Path) -> None:
    one, other = fork_of(tmp_path)
    with one, other:
        moved, fresh = Indexes(tmp_path / "a", one.ledger), Indexes(tmp_path / "b", other.ledger)
        follow(moved)
        follow(fresh)
        assert contents(moved) != contents(fresh)
        for block in blocks_of(other)[1:]:
            one.dispatch(one.ledger.on_executed(one.execute(block)))
        assert one.ledger.head == other.ledger.head
        moved.refresh()
        assert moved.cursor == fresh.cursor
        assert contents(moved) == contents(fresh)
        moved.close()
        fresh.close()


def test_what_a_reader_sees_after_a_reorganisation_is_never_of_the_dead_branch(tmp_path: Path) -> None:
    one, other = fork_of(tmp_path)
    with one, other:
        view = View(one, tmp_path)
        bob = to_ss58(BOB_ACCOUNT)
        assert len(TABLE.call(view, "explorer_accountHistory", [bob])["items"]) == 2
        for block in blocks_of(other)[1:]:
            one.dispatch(one.ledger.on_executed(one.execute(block)))
        history = TABLE.call(view, "explorer_accountHistory", [bob])["items"]
        assert [item["signed"] for item in history] == [True, False]
        view.indexes.close()


def test_a_crash_between_two_blocks_resumes_with_the_next(tmp_path: Path) -> None:
    with DevChain(tmp_path / "db") as chain:
        for amount in range(1, 6):
            chain.transfer(ALICE, BOB_ACCOUNT, amount)
            chain.seal(finalize=amount < 4)
        whole, broken = Indexes(tmp_path / "whole", chain.ledger), Indexes(tmp_path / "broken", chain.ledger)
        follow(whole)
        for _ in range(5):
            broken.advance()
            broken.close()
            broken = Indexes(tmp_path / "broken", chain.ledger)
        assert broken.cursor == whole.cursor
        assert contents(broken) == contents(whole)
        whole.close()
        broken.close()


def test_an_index_of_another_chain_or_branch_starts_over(tmp_path: Path) -> None:
    with DevChain(tmp_path / "one") as one, DevChain(tmp_path / "other") as other:
        other.time += 5_000
        for chain in (one, other):
            chain.seal()
            chain.seal()
        indexes = Indexes(tmp_path / "index", one.ledger)
        follow(indexes)
        indexes.close()
        indexes = Indexes(tmp_path / "index", other.ledger)
        assert indexes.cursor.hash != other.ledger.head
        follow(indexes)
        fresh = Indexes(tmp_path / "fresh", other.ledger)
        follow(fresh)
        assert contents(indexes) == contents(fresh)
        indexes.close()
        fresh.close()


def test_an_index_cut_off_in_its_reset_starts_over(tmp_path: Path) -> None:
    with DevChain(tmp_path / "db") as chain:
        chain.seal()
        indexes = Indexes(tmp_path / "index", chain.ledger)
        follow(indexes)
        before = contents(indexes)
        indexes.close()
        with Database(tmp_path / "index") as database:
            database.write({b"m": None, b"e" + bytes(12): b"left over"})
        indexes = Indexes(tmp_path / "index", chain.ledger)
        follow(indexes)
        assert contents(indexes) == before
        indexes.close()


def test_a_cursor_stays_where_it_is_while_blocks_come(tmp_path: Path) -> None:
    with DevChain(tmp_path / "db") as chain:
        view = View(chain, tmp_path)
        for amount in range(1, 8):
            chain.transfer(ALICE, BOB_ACCOUNT, amount)
            chain.seal()
        methods: list[tuple[str, dict[str, Any]]] = [
            ("explorer_extrinsics", {}),
            ("explorer_blocks", {}),
            ("explorer_events", {"kind": "balances"}),
            ("explorer_accountHistory", {"account": to_ss58(BOB_ACCOUNT)}),
        ]
        for method, params in methods:
            whole = TABLE.call(view, method, {**params, "limit": 100})["items"]
            first = TABLE.call(view, method, {**params, "limit": 3})
            chain.transfer(ALICE, BOB_ACCOUNT, 1)
            chain.seal()
            second = TABLE.call(view, method, {**params, "limit": 100, "cursor": first["next"]})
            assert first["items"] + second["items"] == whole, method
            assert second["next"] is None
        view.indexes.close()


def test_undo_records_go_when_their_blocks_are_final(tmp_path: Path) -> None:
    with DevChain(tmp_path / "db") as chain:
        indexes = Indexes(tmp_path / "index", chain.ledger)
        for _ in range(3):
            chain.seal(finalize=False)
        follow(indexes)
        assert len(list(indexes.rows(b"u"))) == 3
        chain.dispatch(chain.ledger.finalize(chain.ledger.head))
        chain.seal(finalize=False)
        follow(indexes)
        assert len(list(indexes.rows(b"u"))) == 1
        indexes.close()


def test_an_index_survives_the_pruning_of_its_blocks(tmp_path: Path) -> None:
    with DevChain(tmp_path / "db") as chain:
        view = View(chain, tmp_path)
        for amount in range(1, 7):
            chain.transfer(ALICE, BOB_ACCOUNT, amount)
            chain.seal()
        follow(view.indexes)
        pruned = [chain.ledger.hash_at(number) for number in range(1, 4)]
        for number, hash_ in enumerate(pruned, 1):
            assert hash_ is not None
            chain.database.write({b"h" + number.to_bytes(8, "big"): None, b"b" + hash_: None, b"o" + hash_: None})
        load.cache_clear()
        page = TABLE.call(view, "explorer_extrinsics", {"limit": 100})
        assert [int(item["block"], 16) for item in page["items"]] == [6, 5, 4]
        view.indexes.close()


def test_an_index_that_begins_behind_genesis_says_so_and_never_that_there_is_nothing(tmp_path: Path) -> None:
    with DevChain(tmp_path / "db") as chain:
        view = View(chain, tmp_path)
        for amount in range(1, 7):
            chain.transfer(ALICE, BOB_ACCOUNT, amount)
            chain.seal()
        oldest = TABLE.call(view, "explorer_extrinsics", {"limit": 100})["items"][-1]
        nothing = "0x" + "77" * 32
        assert TABLE.call(view, "explorer_extrinsic", [nothing]) is None
        assert TABLE.call(view, "explorer_search", ["7777"]) == []
        view.indexes.close()
        for number in range(1, 4):  # as after a warp: blocks whose bodies were downloaded, and which nobody executed
            chain.database.write({b"o" + chain.ledger.hash_at(number): None})
        load.cache_clear()
        view.indexes = Indexes(tmp_path / "late", chain.ledger)
        follow(view.indexes)
        assert (view.indexes.cursor.number, view.indexes.cursor.first) == (6, 4)
        assert view.indexes.counter("extrinsics") == 3
        page = TABLE.call(view, "explorer_extrinsics", {"limit": 100})
        assert [int(item["block"], 16) for item in page["items"]] == [6, 5, 4]
        assert (page["next"], page["indexedFrom"]) == (None, "0x4")
        for method, asked in (
            ("explorer_extrinsic", oldest["hash"]),
            ("explorer_search", oldest["hash"]),
            ("explorer_block", oldest["block"]),
            ("explorer_block", oldest["blockHash"]),
        ):
            with pytest.raises(UnknownBlock):
                TABLE.call(view, method, [asked])
        view.indexes.close()
