"""What must hold in every simulated network, whatever its plan, among the validators that do not lie.

- *Safety*: no two finalized blocks conflict, and what a disk has promised to keep is there after every crash.
- *Honesty*: nobody seals two blocks for a slot or votes twice in a stage, whatever it forgets in crashes.
- *Liveness*: once everything is healed, everybody finalizes new blocks.
- *Justice*: whoever was seen to contradict himself is slashed in the end, and nobody else is.
- *Agreement*: the state of a finalized block is the same everywhere, and is what its header says.
- *Arrival*: who joins late, by all blocks or by a warp, has the state and the past in the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from chain.grandpa.messages import SignedProposal, decode_gossip
from chain.ledger import Ledger
from chain.messages import BLOCKS, VOTES, Announce, Votes, decode_message
from chain.slots import slot_of_header
from node.simulation_machine import Machine
from runtime import merkle
from runtime.block import header_hash
from runtime.finality import Justification
from runtime.pallets.offences import OFFENDERS
from runtime.state import State
from runtime.votes import SignedVote


class Watch:
    """Mutable. Sees what all honest machines do, and objects at once."""

    def __init__(self) -> None:
        self._final: dict[int, bytes] = {}
        self.said: dict[tuple[object, ...], object] = {}
        """Machine, stage, set and round -> the vote; machine, ``slot`` and slot -> the block."""

    def on_finalized(self, machine: Machine, ledger: Ledger) -> None:
        """A machine's finalized head is on its disk."""
        for number in range(machine.finalized_number + 1, ledger.finalized_number + 1):
            hash_ = ledger.store.hash_at(number)
            if hash_ is None and number < ledger.store.oldest_block():
                continue  # it warped, and fetches the past later
            assert hash_ is not None, f"{machine.name} does not have block {number}, which it finalized"
            known = self._final.setdefault(number, hash_)
            assert known == hash_, f"{machine.name} finalized {hash_.hex()} at {number}, others {known.hex()}"
        assert ledger.finalized_number >= machine.finalized_number, f"finality of {machine.name} went back"
        machine.finalized_number = ledger.finalized_number

    def check_history(self, machine: Machine) -> None:
        """A machine has every block that was finalized, down to the first."""
        for number in range(1, machine.ledger.finalized_number + 1):
            hash_ = machine.ledger.store.hash_at(number)
            assert hash_ is not None, f"{machine.name} lacks block {number}"
            assert machine.ledger.block(hash_) is not None, f"{machine.name} lacks the body of block {number}"
            assert self._final[number] == hash_, f"{machine.name} has another block {number}"

    def on_restarted(self, machine: Machine, ledger: Ledger) -> None:
        """A machine has read its disk again."""
        number = ledger.finalized_number
        assert number >= machine.finalized_number, (
            f"{machine.name} had finalized block {machine.finalized_number}, and knows {number} after a restart"
        )
        stored = ledger.store.finalized()
        assert stored is not None
        assert stored.hash == ledger.store.hash_at(number)
        self.on_finalized(machine, ledger)

    def on_published(self, machine: Machine, topic: str, data: bytes) -> None:
        """A machine says something: never two different things in one place."""
        if topic == BLOCKS:
            header = decode_message(Announce, data).header
            self._say((machine.name, "slot", slot_of_header(header)), header_hash(header))
        elif topic == VOTES:
            message = decode_gossip(decode_message(Votes, data).data)
            match message:
                case SignedVote(vote, voter):
                    assert machine.signer is not None
                    assert voter == machine.signer.public
                    self._say((machine.name, vote.stage, vote.set_id, vote.round), vote)
                case SignedProposal(proposal):
                    self._say((machine.name, "proposal", proposal.set_id, proposal.round), proposal)
                case Justification():
                    pass

    def _say(self, place: tuple[object, ...], content: object) -> None:
        known = self.said.setdefault(place, content)
        assert known == content, f"said twice in {place}: {known} and {content}"


def accused_by(machines: Sequence[Machine]) -> set[bytes]:
    """The session keys of those whose equivocation is proved on the disk of any machine."""
    return {key for machine in machines if machine.chain for key in machine.chain.evidence.offenders()}


def punished_by(machine: Machine) -> set[bytes]:
    """The accounts of those who are slashed in a machine's finalized state."""
    state = State(machine.ledger.state_at(machine.ledger.finalized))
    return {offender.account for _, offenders in OFFENDERS.items(state) for offender in offenders}


def has_recovered(machines: Sequence[Machine], height: int, slot: int) -> bool:
    """Whether every machine has finalized above ``height``, and a block that was made after ``slot``."""
    for machine in machines:
        if not machine.is_up or machine.ledger.finalized_number <= height:
            return False
        header = machine.ledger.header(machine.ledger.finalized)
        if header is None or slot_of_header(header) <= slot:
            return False
    return True


def check_agreement(machines: Sequence[Machine]) -> None:
    """All have one chain up to the lowest finalized head, and one state there."""
    common = min(machine.ledger.finalized_number for machine in machines)
    hashes = {machine.ledger.store.hash_at(common) for machine in machines}
    assert len(hashes) == 1, f"at the common finalized height {common} there are {len(hashes)} blocks"
    for machine in machines:
        ledger = machine.ledger
        hash_ = ledger.store.hash_at(common)
        header = None if hash_ is None else ledger.header(hash_)
        assert header is not None
        assert _root(ledger, header_hash(header)) == header.state_root, f"{machine.name} has another state at {common}"


def check_state(machine: Machine) -> None:
    """What the disk holds is the state of the finalized head, and the best block's state is its header's."""
    ledger = machine.ledger
    for hash_ in (ledger.finalized, ledger.head):
        header = ledger.header(hash_)
        assert header is not None
        assert _root(ledger, hash_) == header.state_root, f"the state of block {header.number} is damaged"


def _root(ledger: Ledger, hash_: bytes) -> bytes:
    """The state root of a block, computed from its entries alone."""
    view = ledger.state_at(hash_)
    return merkle.update(lambda path: None, {key: view.get(key) for key in view.keys(b"")}).root
