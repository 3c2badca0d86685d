"""Slots: who may author, what a header must prove, and when a block may be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.slots import InvalidSlot, SlotClock, claim_slot, is_primary, slot_of_header, verify_slot
from runtime.block import BeaconOutput, Header, Slot
from runtime.codec import replace
from runtime.pallets import randomness, system
from tests.support.validators import CLOCK, FIRST_SLOT, Authorities, session_signer


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Authorities]:
    with Authorities(tmp_path) as authorities:
        yield authorities


def verify(network: Authorities, header: Header) -> bool:
    parent = network.ledger.header(header.parent)
    assert parent is not None
    state = network.state_after(header.parent)
    slot = header.digest[0]
    assert isinstance(slot, Slot)
    return verify_slot(header, parent, randomness.epoch_at(state, slot.slot), system.parameters(state).consensus)


def with_claim(header: Header, slot: Slot, *output: BeaconOutput) -> Header:
    return replace(header, digest=(slot, *output, *header.digest[2:]))


def test_every_slot_has_an_author_and_one_in_four_or_so_has_a_primary(network: Authorities) -> None:
    slots = range(FIRST_SLOT, FIRST_SLOT + 60)
    claims = [network.claims(slot) for slot in slots]
    assert all(claims)
    with_primary = sum(any(claim.primary for claim in claim_of.values()) for claim_of in claims)
    assert 6 <= with_primary <= 27
    assert all(sum(not claim.primary for claim in claim_of.values()) <= 1 for claim_of in claims)


def test_what_an_author_claims_an_importer_confirms(network: Authorities) -> None:
    kinds = set()
    for slot in range(FIRST_SLOT, FIRST_SLOT + 20):
        for name, claim in network.claims(slot).items():
            header = network.build(slot, name).header
            assert verify(network, header) == claim.primary
            assert is_primary(header, network.ledger.state()) == claim.primary
            kinds.add(claim.primary)
        network.grow(1, slot)
    assert kinds == {True, False}


def test_a_slot_that_is_not_above_the_parents_is_refused(network: Authorities) -> None:
    [first] = network.grow(1)
    header = network.build(FIRST_SLOT + 1).header
    slot = header.digest[0]
    assert isinstance(slot, Slot)
    for wrong in (FIRST_SLOT, FIRST_SLOT - 1):
        with pytest.raises(InvalidSlot, match="after 1000") as error:
            verify(network, with_claim(header, Slot(wrong, slot.author), header.digest[1]))  # type: ignore[arg-type]
        assert error.value.reason == "slot not above parent's"
    assert slot_of_header(first.header) == FIRST_SLOT
    genesis = network.ledger.header(network.ledger.genesis_hash)
    assert genesis is not None
    assert slot_of_header(genesis) == -1


def test_a_strangers_block_is_refused(network: Authorities) -> None:
    header = network.build(FIRST_SLOT).header
    stranger = session_signer("Eve")
    forged = BeaconOutput(bytes(64), stranger.prove(b"any"))
    with pytest.raises(InvalidSlot) as error:
        verify(network, with_claim(header, Slot(FIRST_SLOT, stranger.public), forged))
    assert error.value.reason == "wrong author"


def test_a_false_output_or_a_proof_for_another_slot_is_refused(network: Authorities) -> None:
    header = network.build(FIRST_SLOT).header
    slot, output = header.digest[:2]
    assert isinstance(slot, Slot)
    assert isinstance(output, BeaconOutput)
    for forged in (
        replace(output, output=bytes(64)),
        replace(output, proof=bytes(80)),
        replace(output, proof=output.proof[:-1]),
    ):
        with pytest.raises(InvalidSlot) as error:
            verify(network, with_claim(header, slot, forged))
        assert error.value.reason == "vrf"
    with pytest.raises(InvalidSlot) as error:
        verify(network, with_claim(header, Slot(slot.slot + 1, slot.author), output))
    assert error.value.reason == "vrf"


def test_an_authority_that_neither_won_nor_has_its_turn_is_refused(network: Authorities) -> None:
    state = network.ledger.state()
    epoch, consensus = randomness.epoch_at(state, FIRST_SLOT), system.parameters(state).consensus
    idle = next(name for name in network.names if name not in network.claims(FIRST_SLOT))
    always = replace(consensus, primary_numerator=1, primary_denominator=1)
    greedy = claim_slot(epoch, always, FIRST_SLOT, session_signer(idle))
    assert greedy is not None
    header = with_claim(network.build(FIRST_SLOT).header, greedy.slot, greedy.output)
    with pytest.raises(InvalidSlot, match="secondary author") as error:
        verify(network, header)
    assert error.value.reason == "not its turn"


def test_a_header_states_exactly_one_output_after_its_slot(network: Authorities) -> None:
    header = network.build(FIRST_SLOT).header
    slot, output = header.digest[:2]
    assert isinstance(slot, Slot)
    assert isinstance(output, BeaconOutput)
    for items in ((), (output, output)):
        with pytest.raises(InvalidSlot) as error:
            verify(network, with_claim(header, slot, *items))
        assert error.value.reason == "digest"


def test_a_key_outside_the_set_never_claims(network: Authorities) -> None:
    state = network.ledger.state()
    epoch, consensus = randomness.epoch_at(state, FIRST_SLOT), system.parameters(state).consensus
    slots = range(FIRST_SLOT, FIRST_SLOT + 20)
    assert all(claim_slot(epoch, consensus, slot, session_signer("Eve")) is None for slot in slots)


def test_the_clock_lets_blocks_wait_two_slots_and_drops_later_ones() -> None:
    now = CLOCK.start_of(FIRST_SLOT)
    assert CLOCK.slot_at(now) == FIRST_SLOT
    assert CLOCK.slot_at(now + 1.999) == FIRST_SLOT
    assert CLOCK.slot_at(now - 0.001) == FIRST_SLOT - 1
    timings = [CLOCK.judge(FIRST_SLOT + ahead, now) for ahead in (-5, 0, 1, 2, 3)]
    assert timings == ["due", "due", "early", "early", "too early"]
    assert SlotClock(1_500).milliseconds_of(3) == 4_500
