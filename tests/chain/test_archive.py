"""Exporting, importing, checking and reverting blocks on real databases; files that lie, break off, or do not fit."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chain import slots
from chain.archive import ArchiveError, ArchiveHead, ArchiveImport, export_blocks, read_archive, survey, write_head
from chain.archive import write_block as put
from chain.db import Database
from chain.effects import Commit
from chain.ledger import Ledger, StatePruned, open_ledger
from chain.maintenance import CheckFailed, IsFinal, check_block, revert
from chain.messages import BlockData
from chain.signing_memory import signing_memory
from chain.store import OUTCOME, Outcome
from runtime.block import Block
from runtime.codec import encode, replace
from runtime.crypto import public_key
from runtime.errors import InvalidBlock, SolventError
from tests.support.ledger import ALICE, BOB, DevChain
from tests.support.passive_network import PassiveNetwork

LATER = 4_000_000_000.0


def archive_of(ledger: Ledger, last: int | None = None, as_json: bool = False) -> bytes:
    end = ledger.head_number if last is None else last
    file = io.BytesIO()
    write_head(file, ArchiveHead(ledger.genesis_hash, 1, end), as_json)
    for data in export_blocks(ledger, 1, end):
        put(file, data, as_json)
    return file.getvalue()


def changed(data: bytes, number: int, change: Callable[[BlockData], BlockData]) -> bytes:
    """The archive with one block changed."""
    head, blocks = read_archive(io.BytesIO(data))
    file = io.BytesIO()
    write_head(file, head, False)
    for item in blocks:
        put(file, change(item) if item.block.header.number == number else item, False)
    return file.getvalue()


def take_all(ledger: Ledger, data: bytes, now: float = LATER) -> int:
    """Import an archive; how many blocks were new."""
    job = ArchiveImport(ledger, survey(io.BytesIO(data)))
    for item in read_archive(io.BytesIO(data))[1]:
        effects = job.take(item, now)
        if effects is None:
            break
        for effect in effects:
            if isinstance(effect, Commit):
                ledger.store.database.write(effect.batch, sync=False)
    return job.imported


def grow(chain: DevChain, blocks: int) -> None:
    for _ in range(blocks):
        chain.transfer(ALICE, public_key(BOB), 1_000_000_000)
        chain.seal()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PassiveNetwork]:
    """Four validators after two minutes and more than one authority set, with a tail that is not final."""
    with PassiveNetwork(tmp_path_factory.mktemp("network")) as network:
        network.run(120)
        network.cut = lambda source, target: True
        network.run(14)
        yield network


@pytest.fixture
def empty(network: PassiveNetwork, tmp_path: Path) -> Iterator[Ledger]:
    with Database(tmp_path / "db") as database:
        yield open_ledger(database, network.genesis, None, slots.is_primary)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_development_chain_comes_back_from_its_file(tmp_path: Path, as_json: bool) -> None:
    with DevChain(tmp_path / "one") as one, DevChain(tmp_path / "two") as two:
        grow(one, 5)
        data = archive_of(one.ledger, as_json=as_json)
        assert take_all(two.ledger, archive_of(one.ledger, 2, as_json)) == 2
        assert take_all(two.ledger, data) == 3
        assert take_all(two.ledger, data) == 0
        assert (two.ledger.finalized, two.ledger.finalized_number) == (one.ledger.head, 5)


def test_finality_travels_with_the_blocks(network: PassiveNetwork, empty: Ledger) -> None:
    source = network.nodes["Alice"].chain.ledger
    assert source.head_number > source.finalized_number > 30
    data = archive_of(source)
    contents = survey(io.BytesIO(data))
    assert contents.proven == source.finalized_number
    assert take_all(empty, data) == source.head_number
    assert (empty.finalized, empty.head) == (source.finalized, source.head)
    reopened = Ledger(empty.store, slots.is_primary)
    assert (reopened.finalized, reopened.head) == (source.finalized, source.head)


def test_fresh_blocks_that_note_more_as_final_than_is_proven_are_left_to_the_network(
    network: PassiveNetwork, empty: Ledger
) -> None:
    source = network.nodes["Alice"].chain.ledger
    bare = changed(archive_of(source), source.finalized_number, lambda item: replace(item, justification=b""))
    contents = survey(io.BytesIO(bare))
    assert 0 < contents.proven < source.finalized_number
    take_all(empty, bare, network.now)
    assert empty.finalized_number == contents.proven
    assert empty.head_number < source.finalized_number


def test_a_justification_that_proves_nothing_is_refused(network: PassiveNetwork, empty: Ledger) -> None:
    source = network.nodes["Alice"].chain.ledger
    data = archive_of(source)
    number = source.finalized_number
    proof = source.store.justification(number)
    assert proof is not None
    for forged in (b"\x01", proof[:-1], proof[:-40] + bytes([proof[-40] ^ 1]) + proof[-39:]):
        file = changed(data, number, lambda item, forged=forged: replace(item, justification=forged))  # type: ignore[misc]
        with pytest.raises(ArchiveError, match=f"justification of block {number}"):
            take_all(empty, file)
    moved = changed(data, number - 1, lambda item: replace(item, justification=proof))
    with pytest.raises(SolventError):
        take_all(empty, moved)
    assert empty.finalized_number < number
    assert take_all(empty, data) >= 0
    assert empty.finalized == source.finalized


def test_blocks_that_were_tampered_with_are_refused(tmp_path: Path) -> None:
    with DevChain(tmp_path / "one") as one, DevChain(tmp_path / "two") as two:
        grow(one, 3)
        data = archive_of(one.ledger)

        def without_body(item: BlockData) -> BlockData:
            return replace(item, block=Block(item.block.header, item.block.body[:-1]))

        def with_root(item: BlockData) -> BlockData:
            return replace(item, block=Block(replace(item.block.header, state_root=bytes(32)), item.block.body))

        for change in (without_body, with_root):
            with pytest.raises(InvalidBlock):
                take_all(two.ledger, changed(data, 2, change))
            assert two.ledger.head_number == 1
        assert take_all(two.ledger, data) == 2


def test_a_file_of_another_chain_or_another_fork_is_refused(
    tmp_path: Path, network: PassiveNetwork, empty: Ledger
) -> None:
    with DevChain(tmp_path / "one") as one, DevChain(tmp_path / "two") as two:
        grow(one, 2)
        two.time += 5
        grow(two, 1)
        with pytest.raises(ArchiveError, match="not the one that is final here"):
            take_all(two.ledger, archive_of(one.ledger))
        with pytest.raises(ArchiveError, match="of the chain with genesis"):
            take_all(empty, archive_of(one.ledger))
        gap = io.BytesIO()
        write_head(gap, ArchiveHead(one.ledger.genesis_hash, 3, 9), False)
        with pytest.raises(ArchiveError, match="starts with block 3"):
            take_all(two.ledger, gap.getvalue())


@pytest.mark.parametrize("as_json", [False, True])
def test_a_damaged_file_is_used_up_to_the_damage(tmp_path: Path, as_json: bool) -> None:
    with DevChain(tmp_path / "one") as one:
        grow(one, 3)
        data = archive_of(one.ledger, as_json=as_json)
    for cut in range(len(data)):
        try:
            contents = survey(io.BytesIO(data[:cut]))
        except ArchiveError:
            assert cut < 200  # not even the head is whole
            continue
        assert contents.last < 3 or cut == len(data) - 1  # a lost last newline is no damage
        assert bool(contents.broken) == (contents.last < 3)


@pytest.mark.parametrize("junk", [b"", b"\x00", b"{", b"{}\n", b'{"head": 5}\n', b"[" * 100_000, b"solvent blocks 1\n"])
def test_what_is_no_archive_is_refused(junk: bytes) -> None:
    with pytest.raises(ArchiveError):
        survey(io.BytesIO(junk))


def test_stored_blocks_give_the_same_again_and_a_changed_record_shows(tmp_path: Path, network: PassiveNetwork) -> None:
    ledger = network.nodes["Bob"].chain.ledger
    for number in (1, ledger.finalized_number, ledger.finalized_number + 1, ledger.head_number):
        hash_ = ledger.hash_at(number)
        assert hash_ is not None
        assert check_block(ledger, hash_).hash == hash_
    with DevChain(tmp_path, window=2) as chain:
        grow(chain, 4)
        hash_ = chain.ledger.hash_at(3)
        assert hash_ is not None
        outcome = chain.ledger.outcome(hash_)
        assert outcome is not None
        check_block(chain.ledger, hash_)
        chain.database.write({OUTCOME + hash_: encode(Outcome(outcome.receipts, outcome.events[:-1]))})
        with pytest.raises(CheckFailed, match=r"block 3 .* other events"):
            check_block(chain.ledger, hash_)
        old = chain.ledger.hash_at(1)
        assert old is not None
        with pytest.raises(StatePruned):
            check_block(chain.ledger, old)


def test_only_blocks_that_are_not_final_can_be_reverted(network: PassiveNetwork, empty: Ledger) -> None:
    source = network.nodes["Alice"].chain.ledger
    take_all(empty, archive_of(source))
    waiting = empty.head_number - empty.finalized_number
    with pytest.raises(IsFinal, match=f"block {empty.finalized_number} is final.*{waiting} may be reverted"):
        revert(empty, waiting + 1)
    target, batch = revert(empty, 1)
    empty.store.database.write(batch)
    assert Ledger(empty.store, slots.is_primary).head_number == target == source.head_number - 1
    target, batch = revert(empty, waiting)
    empty.store.database.write(batch)
    assert Ledger(empty.store, slots.is_primary).head == source.finalized


def test_a_development_chain_has_nothing_to_revert(tmp_path: Path) -> None:
    with DevChain(tmp_path) as chain:
        grow(chain, 2)
        with pytest.raises(IsFinal, match="block 2 is final"):
            revert(chain.ledger, 1)


def test_a_purged_validator_remembers_what_it_signed_and_goes_on_without_contradiction(tmp_path: Path) -> None:
    with PassiveNetwork(tmp_path) as network:
        network.run(40)
        network.disconnect("Dave")
        network.run(6)
        dave = network.nodes["Dave"]
        memory = signing_memory(dave.database)
        assert memory
        dave.close()
        dave.folder = tmp_path / "purged"
        with Database(dave.folder) as fresh:
            fresh.write(memory)
        dave.open()
        assert dave.chain.ledger.head_number == 0
        network.connect("Dave")
        network.run(60)
        ledgers = [node.chain.ledger for node in network.nodes.values()]
        assert min(ledger.finalized_number for ledger in ledgers) > 25
        assert len({ledger.hash_at(25) for ledger in ledgers}) == 1
        named = {type(effect).__name__ for node in network.nodes.values() for effect in node.effects}
        assert named.isdisjoint({"ReportEquivocation", "Equivocation", "FinalityBroken"})
