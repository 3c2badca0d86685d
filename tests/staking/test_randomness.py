"""Randomness of sessions, and the beacon where several authors make blocks."""

from __future__ import annotations

import pytest

from runtime.block import BeaconOutput, DigestItem
from runtime.pallets import randomness, session, system
from tests.staking.network import EPOCH, Network
from tests.support.chain import TestChain


class Biased(Network):
    """A network in which one block, by its number, carries another VRF output."""

    def __init__(self, number: int) -> None:
        self.biased = number
        super().__init__()

    def state_digest(self, author: str) -> tuple[DigestItem, ...]:
        slot, output = super().state_digest(author)
        return (slot, BeaconOutput(bytes(64), bytes(80))) if self.number + 1 == self.biased else (slot, output)


def test_outputs_of_a_session_take_effect_two_sessions_later() -> None:
    honest, biased = Network(), Biased(EPOCH + 1)  # the second block of session 1
    seen = []
    while honest.session.index < 4:
        honest.author()
        biased.author()
        if session.SESSIONS.get(honest.state, honest.session.index).started == honest.number:  # type: ignore[union-attr]
            same = randomness.CURRENT.get(honest.state) == randomness.CURRENT.get(biased.state)
            seen.append((honest.session.index, same))
    assert seen == [(1, True), (2, True), (3, False), (4, False)]


def test_every_session_draws_with_other_randomness() -> None:
    network, seen = Network(), set()
    for _ in range(5):
        seen.add(randomness.CURRENT.get(network.state))
        assert randomness.randomness_for(network.state, network.slot + 5 * EPOCH) == randomness.NEXT.get(network.state)
        network.next_session()
    assert len(seen) == 5


def test_a_network_with_one_author_gathers_nothing() -> None:
    chain = TestChain()
    chain.skip(3)
    assert {link.output for _, page in system.LINKS.items(chain.state) for link in page} == {b""}
    assert randomness.GATHERED.key not in chain.backend.entries


@pytest.mark.parametrize("lag", [1, 4])
def test_the_beacon_waits_until_sixteen_outputs_are_final(lag: int) -> None:
    network = Network()
    network.lag = lag
    while system.FINALIZED.get(network.state) < 3 + 15:
        network.author()
    assert system.beacon(network.state, 3, b"draw", b"x") is None
    network.author()
    assert system.FINALIZED.get(network.state) == 3 + 16
    assert system.beacon(network.state, 3, b"draw", b"x") is not None
    assert system.beacon(network.state, 4, b"draw", b"x") is None


def test_the_beacon_depends_on_each_of_its_outputs_and_on_what_it_is_for() -> None:
    honest = Network()
    honest.skip(24)
    known = system.beacon(honest.state, 3, b"draw", b"x")
    assert known is not None
    for number, differs in ((3, False), (4, True), (19, True), (20, False)):
        biased = Biased(number)
        biased.skip(24)
        assert (system.beacon(biased.state, 3, b"draw", b"x") != known) == differs
    others = [(3, b"draw", b"y"), (3, b"other", b"x"), (4, b"draw", b"x")]
    assert known not in [system.beacon(honest.state, *other) for other in others]


def test_a_beacon_whose_outputs_are_forgotten_is_gone() -> None:
    network = Network()
    network.skip(24)
    state = network.state
    system.LINKS.delete(state, 0)
    assert system.beacon(state, 3, b"draw", b"x") is None
