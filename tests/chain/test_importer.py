"""The importer: what it takes in, in which order, what it refuses, and who pays for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.effects import Commit, NewBest, Punish
from chain.importer import Equivocation, Imported, ImportEffect, Importer, ImportLimits, Missing, noted_finality
from chain.views import Layer
from runtime.block import Block, Header, Seal, Slot, header_hash, seal_message
from runtime.codec import replace
from runtime.errors import InvalidBlock
from tests.support.validators import CLOCK, FIRST_SLOT, START, Authorities, session_signer

LATER = START + 1_000


class Importing:
    """A network that makes blocks, and an empty ledger with an importer for them."""

    def __init__(self, folder: Path) -> None:
        self.source, self.target = Authorities(folder / "source"), Authorities(folder / "target")
        self.importer = Importer(self.target.ledger, CLOCK)

    def close(self) -> None:
        self.source.database.close()
        self.target.database.close()

    def drive(self, effects: list[ImportEffect], now: float = LATER) -> list[ImportEffect]:
        """Carry effects out and work until nothing is left; everything but commits."""
        seen = []
        while True:
            for effect in effects:
                if isinstance(effect, Commit):
                    self.target.database.write(effect.batch)
                else:
                    seen.append(effect)
            if not self.importer.has_work:
                return seen
            effects = self.importer.work(now, lambda: False)

    def send(self, block: Block, peer: str = "peer", now: float = LATER) -> list[ImportEffect]:
        return self.drive(self.importer.submit(block, peer, now), now)

    def reseal(self, header: Header) -> Header:
        """The header sealed again by its author, who lies."""
        slot = header.digest[0]
        assert isinstance(slot, Slot)
        signer = next(session_signer(name) for name in self.source.names if session_signer(name).public == slot.author)
        signature = signer.sign(seal_message(header, self.source.ledger.genesis_hash))
        return replace(header, digest=(*header.digest[:-1], Seal(signature)))


@pytest.fixture
def importing(tmp_path: Path) -> Iterator[Importing]:
    both = Importing(tmp_path)
    yield both
    both.close()


def points(effects: list[ImportEffect]) -> list[tuple[str, int]]:
    return [(effect.peer, effect.points) for effect in effects if isinstance(effect, Punish)]


def numbers(effects: list[ImportEffect]) -> list[int]:
    return [effect.header.number for effect in effects if isinstance(effect, Imported)]


def test_blocks_in_order_are_executed_and_become_the_best(importing: Importing) -> None:
    for layer in importing.source.grow(3):
        effects = importing.send(layer.block)
        assert [type(effect) for effect in effects] == [NewBest, Imported]
    assert importing.target.ledger.head == importing.source.ledger.head
    assert importing.target.ledger.state_at(importing.target.ledger.head).get(b"") is None


def test_an_orphan_waits_for_its_parent_and_asks_for_it(importing: Importing) -> None:
    first, second, third = importing.source.grow(3)
    assert importing.send(third.block) == [Missing(second.hash, 2, "peer")]
    assert importing.send(second.block, "other") == [Missing(first.hash, 1, "other")]
    assert importing.importer.is_pending(third.hash)
    assert numbers(importing.send(first.block)) == [1, 2, 3]
    assert not importing.importer.is_pending(third.hash)


def test_parents_that_do_not_come_are_asked_for_again_one_at_a_time(importing: Importing) -> None:
    first, _, third, _, fifth = importing.source.grow(5)
    importing.send(third.block)
    importing.send(fifth.block, "other")
    asked = [importing.importer.on_time(LATER + seconds) for seconds in (0, 1, 2, 4)]
    assert asked[1] == []
    assert sorted(effect.number for effects in asked for effect in effects if isinstance(effect, Missing)) in (
        [2, 2, 4],
        [2, 4, 4],
    )
    importing.send(first.block)
    assert numbers(importing.importer.on_time(LATER + 4)) == []


def test_a_block_sent_twice_is_executed_once(importing: Importing) -> None:
    [layer] = importing.source.grow(1)
    assert importing.importer.submit(layer.block, "one", LATER) == []
    assert importing.importer.submit(layer.block, "two", LATER) == []
    assert numbers(importing.drive([])) == [1]
    assert importing.send(layer.block) == []


def test_an_early_block_waits_for_its_slot_and_a_later_one_is_dropped_without_blame(importing: Importing) -> None:
    [layer] = importing.source.grow(1)
    assert importing.send(layer.block, now=START - 5) == []
    assert not importing.importer.is_pending(layer.hash)
    assert importing.send(layer.block, now=START - 3) == []
    assert importing.importer.is_pending(layer.hash)
    assert importing.importer.wake_at(START - 3) == START
    assert importing.drive(importing.importer.on_time(START - 1), START - 1) == []
    assert numbers(importing.drive(importing.importer.on_time(START), START)) == [1]


def lies(importing: Importing, layer: Layer) -> dict[str, Block]:
    header, body = layer.block.header, layer.block.body
    slot, output = header.digest[:2]
    assert isinstance(slot, Slot)
    other = next(name for name in importing.source.names if session_signer(name).public != slot.author)
    stolen = replace(header, digest=(Slot(slot.slot, session_signer(other).public), *header.digest[1:]))
    moved = replace(header, digest=(Slot(slot.slot + 1, slot.author), *header.digest[1:]))
    return {
        "seal": Block(replace(header, state_root=bytes(32)), body),
        "vrf": Block(importing.reseal(stolen), body),
        "vrf of another slot": Block(importing.reseal(moved), body),
        "state root": Block(importing.reseal(replace(header, state_root=bytes(32))), body),
        "no seal": Block(replace(header, digest=(slot, output)), body),
        "no digest": Block(replace(header, digest=()), body),
    }


@pytest.mark.parametrize("kind", ["seal", "vrf", "vrf of another slot", "state root", "no seal", "no digest"])
def test_an_invalid_block_gets_its_sender_banned_and_is_remembered(importing: Importing, kind: str) -> None:
    [layer] = importing.source.grow(1)
    block = lies(importing, layer)[kind]
    hash_ = header_hash(block.header)
    assert points(importing.send(block, "liar")) == [("liar", 100)]
    assert importing.target.ledger.head_number == 0
    assert importing.importer.is_bad(hash_)
    assert points(importing.send(block, "gullible")) == [("gullible", 25)]
    assert numbers(importing.send(layer.block)) == [1]


def test_a_body_that_is_not_the_headers_does_not_taint_the_block(importing: Importing) -> None:
    [layer] = importing.source.grow(1)
    forged = Block(layer.block.header, layer.block.body[:-1])
    assert points(importing.send(forged, "liar")) == [("liar", 100)]
    assert not importing.importer.is_bad(layer.hash)
    assert numbers(importing.send(layer.block)) == [1]


def test_what_descends_from_an_invalid_block_falls_with_it(importing: Importing) -> None:
    first, second = importing.source.grow(2)
    bad = lies(importing, first)["state root"]
    child = Block(importing.reseal(replace(second.header, parent=header_hash(bad.header))), second.block.body)
    importing.send(child, "follower")
    assert points(importing.send(bad, "liar")) == [("liar", 100), ("follower", 100)]
    assert importing.importer.is_bad(header_hash(child.header))
    grandchild = Block(importing.reseal(replace(second.header, parent=header_hash(child.header))), second.block.body)
    assert points(importing.send(grandchild, "late")) == [("late", 100)]


def test_a_block_that_notes_too_much_as_final_is_held_until_it_is_or_is_old(importing: Importing) -> None:
    source = importing.source
    first, second = source.grow(2)
    source.finalize(second.hash)
    [third] = source.grow(1, FIRST_SLOT + 2)
    assert noted_finality(third.block) == 2
    now = CLOCK.start_of(FIRST_SLOT + 3)
    for layer in (first, second):
        importing.send(layer.block, now=now)
    assert importing.send(third.block, now=now) == []
    assert importing.importer.is_pending(third.hash)
    importing.target.finalize(second.hash)
    assert numbers(importing.drive(importing.importer.on_finalized(now), now)) == [3]


def test_a_held_block_goes_on_when_it_is_old_or_below_a_promised_one(importing: Importing) -> None:
    source = importing.source
    source.finalize(source.grow(1)[0].hash)
    layers = source.grow(3, FIRST_SLOT + 1)
    first = source.ledger.block(source.ledger.finalized)
    assert first is not None
    now = CLOCK.start_of(FIRST_SLOT + 5)
    importing.send(first, now=now)
    for layer in layers:
        importing.send(layer.block, now=now)
    assert importing.target.ledger.head_number == 1
    assert numbers(importing.drive(importing.importer.on_promised(layers[1].hash, now), now)) == [2, 3]
    old = CLOCK.start_of(FIRST_SLOT + 60)
    assert numbers(importing.drive(importing.importer.on_time(old), old)) == [4]


def test_blocks_at_or_below_the_finalized_height_are_ignored(importing: Importing) -> None:
    layers = importing.source.grow(2)
    rival = importing.source.grow(1, FIRST_SLOT + 9)[0]
    for layer in layers:
        importing.send(layer.block)
    importing.target.finalize(layers[1].hash)
    assert importing.send(layers[0].block) == []
    stale = Block(importing.reseal(replace(rival.header, number=2)), rival.block.body)
    assert importing.send(stale, "peer") == []


def test_two_blocks_for_one_slot_are_an_equivocation(importing: Importing) -> None:
    one = importing.source.build(FIRST_SLOT)
    other = Block(importing.reseal(replace(one.header, state_root=bytes(32))), one.block.body)
    importing.send(one.block)
    effects = importing.send(other)
    assert Equivocation(one.header, other.header) in effects


def test_execution_can_be_paused_between_extrinsics(importing: Importing) -> None:
    [layer] = importing.source.grow(1)
    importing.importer.submit(layer.block, "peer", LATER)
    steps = 0
    while importing.importer.has_work:
        for effect in importing.importer.work(LATER, lambda: True):
            if isinstance(effect, Commit):
                importing.target.database.write(effect.batch)
        steps += 1
    assert steps >= len(layer.block.body)
    assert importing.target.ledger.head == layer.hash


def test_the_waiting_set_is_bounded_for_each_peer_and_for_all(tmp_path: Path) -> None:
    both = Importing(tmp_path)
    limits = ImportLimits(waiting=6, waiting_per_peer=3)
    both.importer = Importer(both.target.ledger, CLOCK, limits=limits)
    layers = both.source.grow(12)
    for layer in layers[1:6]:
        both.send(layer.block, "greedy")
    pending = [layer.header.number for layer in layers if both.importer.is_pending(layer.hash)]
    assert pending == [4, 5, 6]
    for peer, layer in zip("abcdef", layers[6:], strict=True):
        both.send(layer.block, peer)
    pending = [layer.header.number for layer in layers if both.importer.is_pending(layer.hash)]
    assert pending == [7, 8, 9, 10, 11, 12]
    both.close()


def test_a_malformed_first_item_is_an_invalid_block(importing: Importing) -> None:
    [layer] = importing.source.grow(1)
    with pytest.raises(InvalidBlock, match="malformed"):
        noted_finality(Block(layer.header, (b"\xff",)))
    assert noted_finality(Block(layer.header, ())) == 0
    assert noted_finality(Block(layer.header, layer.block.body[1:])) == 0
