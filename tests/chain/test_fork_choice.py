"""Fork choice: primaries, then height, then hash; and the ledger that follows it."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from chain.effects import NewBest
from chain.fork_choice import Rank
from chain.ledger import open_ledger
from chain.slots import is_primary
from chain.views import Layer
from tests.support.validators import FIRST_SLOT, Authorities

ranks = st.builds(Rank, st.integers(0, 3), st.integers(0, 3), st.binary(min_size=1, max_size=1))


def test_primaries_count_before_height_and_height_before_the_hash() -> None:
    assert Rank(2, 5, b"b").is_better_than(Rank(1, 9, b"a"))
    assert Rank(1, 6, b"b").is_better_than(Rank(1, 5, b"a"))
    assert Rank(1, 5, b"a").is_better_than(Rank(1, 5, b"b"))
    assert not Rank(1, 5, b"a").is_better_than(Rank(1, 5, b"a"))


@given(ranks, ranks, ranks)
def test_better_is_a_strict_total_order(one: Rank, two: Rank, three: Rank) -> None:
    assert one.is_better_than(two) + two.is_better_than(one) + (one == two) == 1
    if one.is_better_than(two) and two.is_better_than(three):
        assert one.is_better_than(three)


def fork_with_a_late_primary(network: Authorities) -> tuple[list[Layer], Layer]:
    """Two secondary blocks, and a primary block on genesis that comes after them."""
    secondary = [slot for slot in range(FIRST_SLOT, FIRST_SLOT + 40) if not has_primary(network, slot)]
    primary = next(slot for slot in range(secondary[1], secondary[1] + 40) if has_primary(network, slot))
    winner = next(name for name, claim in network.claims(primary).items() if claim.primary)
    rival = network.build(primary, winner)
    longer = []
    for slot in secondary[:2]:
        layer = network.build(slot)
        network.dispatch(network.ledger.on_executed(layer))
        longer.append(layer)
    return longer, rival


def has_primary(network: Authorities, slot: int) -> bool:
    return any(claim.primary for claim in network.claims(slot).values())


def test_one_primary_block_beats_a_longer_branch_of_secondary_blocks(tmp_path: Path) -> None:
    with Authorities(tmp_path) as network:
        longer, rival = fork_with_a_late_primary(network)
        assert network.ledger.head == longer[1].hash
        effects = network.ledger.on_executed(rival)
        network.dispatch(effects)
        assert network.ledger.head == rival.hash
        hashes = tuple(layer.hash for layer in longer)
        returned = tuple(raw for layer in longer for raw in layer.block.body)
        assert effects[-1] == NewBest(rival.hash, 1, (rival.hash,), hashes, returned)


def test_a_restarted_ledger_chooses_the_same_head(tmp_path: Path) -> None:
    with Authorities(tmp_path) as network:
        _, rival = fork_with_a_late_primary(network)
        network.dispatch(network.ledger.on_executed(rival))
        network.database.close()
        with Authorities(tmp_path) as again:
            assert again.ledger.head == rival.hash
            assert open_ledger(again.database, again.genesis, None, is_primary).head == rival.hash


def test_finality_overrules_primaries(tmp_path: Path) -> None:
    with Authorities(tmp_path) as network:
        longer, rival = fork_with_a_late_primary(network)
        network.dispatch(network.ledger.on_executed(rival))
        effects = network.finalize(longer[0].hash)
        assert network.ledger.head == longer[1].hash
        change = next(effect for effect in effects if isinstance(effect, NewBest))
        assert change.enacted == tuple(layer.hash for layer in longer)
        assert change.retracted == (rival.hash,)
        assert change.returned == rival.block.body
        assert network.ledger.hash_at(2) == longer[1].hash
