"""The ledger on a real database: restart, replay, history, forks, and blocks that lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from chain.db import Database, DatabaseCorrupt
from chain.ledger import Execution, StatePruned, UnknownBlock, WrongGenesis, open_ledger
from chain.store import META
from chain.views import Layer
from node.config import development_genesis
from runtime import merkle
from runtime.block import Block, Header, Seal, header_hash, seal_message
from runtime.codec import replace
from runtime.crypto import public_key, sign
from runtime.errors import InvalidBlock
from runtime.pallets import balances
from tests.support.ledger import ALICE, BOB, CHARLIE, DevChain

BOB_ACCOUNT = public_key(BOB)
TOKEN = 10**9


def grow(chain: DevChain, blocks: int) -> list[Layer]:
    """Blocks with a few transfers each."""
    layers = []
    for number in range(blocks):
        chain.transfer(ALICE, BOB_ACCOUNT, TOKEN + number)
        chain.transfer(CHARLIE, BOB_ACCOUNT, 1)
        layers.append(chain.seal())
    return layers


def test_transfers_move_money_and_a_restart_finds_the_same_chain(tmp_path: Path) -> None:
    with DevChain(tmp_path) as chain:
        before = chain.free(BOB)
        layers = grow(chain, 3)
        assert chain.free(BOB) == before + 3 * TOKEN + 3 + 3
        head, root = chain.ledger.head, chain.ledger.head_header().state_root
    with DevChain(tmp_path) as chain:
        assert (chain.ledger.head, chain.ledger.finalized) == (head, head)
        assert chain.ledger.head_header().state_root == root
        state = chain.ledger.state_at(head)
        entries = {key: value for key in state.keys(b"") if (value := state.get(key)) is not None}
        assert merkle.root_of(entries) == root
        assert [chain.ledger.hash_at(layer.header.number) for layer in layers] == [layer.hash for layer in layers]
        grow(chain, 1)
        assert chain.ledger.head_number == 4


def test_replaying_the_blocks_on_a_second_database_gives_the_same_roots(tmp_path: Path) -> None:
    with DevChain(tmp_path / "one") as first, DevChain(tmp_path / "two") as second:
        for layer in grow(first, 3):
            again = second.execute(layer.block)
            assert again == layer
            second.dispatch(second.ledger.on_executed(again, finalize=True))
        assert second.ledger.head == first.ledger.head


def test_the_past_can_be_read_and_proved_inside_the_window_only(tmp_path: Path) -> None:
    with DevChain(tmp_path, window=4) as chain:
        balances_then = {layer.hash: chain.free(BOB) for layer in [chain.seal()]}
        keys_then = {}
        for _ in range(8):
            [layer] = grow(chain, 1)
            balances_then[layer.hash] = chain.free(BOB)
            keys_then[layer.hash] = list(chain.ledger.state_at(layer.hash).keys(b""))
        key = balances.ACCOUNTS.key(BOB_ACCOUNT)
        for number in range(5, 10):
            hash_ = chain.ledger.hash_at(number)
            assert hash_ is not None
            assert chain.free(BOB, hash_) == balances_then[hash_]
            state = chain.ledger.state_at(hash_)
            assert list(state.keys(b"")) == keys_then[hash_]
            header = chain.ledger.header(hash_)
            assert header is not None
            proof = merkle.prove(state.get_node, [key])
            assert merkle.verify_proof(header.state_root, key, state.get(key), proof)
        old = chain.ledger.hash_at(4)
        assert old is not None
        with pytest.raises(StatePruned, match="from block 5 on"):
            chain.ledger.state_at(old)


def test_pruning_leaves_nothing_of_old_blocks_but_the_blocks(tmp_path: Path) -> None:
    with DevChain(tmp_path, window=2) as chain:
        grow(chain, 6)
        heights = {int.from_bytes(key[-8:], "big") for key, _ in chain.database.range(b"S")}
        assert heights == {5, 6}
        assert {int.from_bytes(key[-8:], "big") for key, _ in chain.database.range(b"N")} == {5, 6}
        assert chain.ledger.block(chain.ledger.hash_at(1) or b"") is not None


def test_blocks_that_are_not_final_survive_a_restart_and_fold_in_later(tmp_path: Path) -> None:
    with DevChain(tmp_path) as chain:
        chain.transfer(ALICE, BOB_ACCOUNT, 5)
        first = chain.seal(finalize=False)
        second = chain.seal(finalize=False)
        genesis = chain.ledger.finalized
        free = chain.free(BOB)
    with DevChain(tmp_path) as chain:
        assert (chain.ledger.finalized, chain.ledger.head) == (genesis, second.hash)
        assert chain.free(BOB) == free
        assert chain.free(BOB, genesis) == free - 5
        chain.dispatch(chain.ledger.finalize(first.hash))
        assert (chain.ledger.finalized_number, chain.ledger.head_number) == (1, 2)
    with DevChain(tmp_path) as chain:
        assert (chain.ledger.finalized, chain.ledger.head) == (first.hash, second.hash)
        chain.dispatch(chain.ledger.finalize(second.hash))
        assert list(chain.database.range(b"j")) == []
        assert chain.free(BOB) == free


def test_the_longer_fork_wins_until_the_other_is_finalized(tmp_path: Path) -> None:
    with DevChain(tmp_path) as chain:
        left = chain.build()
        chain.transfer(ALICE, BOB_ACCOUNT, 5)
        right = chain.build()
        chain.dispatch(chain.ledger.on_executed(left))
        chain.dispatch(chain.ledger.on_executed(right))
        assert chain.ledger.head == min(left.hash, right.hash)
        longer = chain.seal(finalize=False)
        assert chain.ledger.head == longer.hash
        loser = right if longer.header.parent == left.hash else left
        effects = chain.ledger.finalize(loser.hash)
        chain.dispatch(effects)
        assert (chain.ledger.head, chain.ledger.finalized) == (loser.hash, loser.hash)
        assert chain.ledger.block(longer.hash) is None
        assert list(chain.database.range(b"j")) == []
        with pytest.raises(UnknownBlock):
            chain.ledger.state_at(longer.hash)


def reseal(header: Header, genesis_hash: bytes) -> Header:
    unsealed = header.digest[:-1]
    bare = replace(header, digest=unsealed)
    return replace(header, digest=(*unsealed, Seal(sign(ALICE, seal_message(bare, genesis_hash)))))


def test_a_block_with_a_false_root_seal_or_body_is_refused(tmp_path: Path) -> None:
    with DevChain(tmp_path) as chain:
        chain.transfer(ALICE, BOB_ACCOUNT, 5)
        block = chain.build().block
        false_root = replace(
            block, header=reseal(replace(block.header, state_root=bytes(32)), chain.ledger.genesis_hash)
        )
        with pytest.raises(InvalidBlock, match="claims state root"):
            chain.execute(false_root)
        unsealed = replace(block, header=replace(block.header, digest=block.header.digest[:-1]))
        with pytest.raises(InvalidBlock, match="seal"):
            chain.execute(unsealed)
        forged = replace(block, header=replace(block.header, state_root=bytes(32)))
        with pytest.raises(InvalidBlock, match="not a signature"):
            chain.execute(forged)
        with pytest.raises(InvalidBlock, match="body"):
            chain.execute(replace(block, body=block.body[:-1]))
        assert chain.ledger.head_number == 0
        assert chain.execute(block).hash == header_hash(block.header)


def test_a_block_without_a_known_parent_is_not_executed(tmp_path: Path) -> None:
    with DevChain(tmp_path) as chain:
        block = chain.build().block
        orphan = Block(replace(block.header, parent=bytes(32)), block.body)
        with pytest.raises(UnknownBlock, match="parent"):
            Execution(chain.ledger, orphan)


def test_importing_a_block_twice_changes_nothing(tmp_path: Path) -> None:
    with DevChain(tmp_path) as chain:
        layer = chain.seal()
        assert chain.ledger.on_executed(layer, finalize=True) == []


def test_a_database_of_another_chain_is_refused(tmp_path: Path) -> None:
    with DevChain(tmp_path):
        pass
    other = {**development_genesis(), "id": "other"}
    with Database(tmp_path) as database, pytest.raises(WrongGenesis, match="another --base-path"):
        open_ledger(database, other)


def test_damaged_records_are_called_corruption(tmp_path: Path) -> None:
    with DevChain(tmp_path) as chain:
        chain.database.write({META + b"finalized": b"\xff\xff"})
    with Database(tmp_path) as database, pytest.raises(DatabaseCorrupt, match="finalized head"):
        open_ledger(database, development_genesis())
