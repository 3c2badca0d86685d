"""A market whose network asks for availability, and people who hold blobs for others."""

from __future__ import annotations

from typing import Any

from runtime.codec import replace
from runtime.commitments import tensor_tree
from runtime.pallets import blobs, tasks
from runtime.parameters import TOKEN
from tests.market.market import PEOPLE, SPEC, SUBMITTER, Market
from tests.support.chain import account

HOLDERS = [f"//Whistleblower{number}" for number in range(2)] + [f"//Solver{number}" for number in range(3, 8)]
"""Seven people of the market without another role here."""
NAMES = {account(suri): suri for suri in PEOPLE}
BOND = 50 * TOKEN
LOCK = 10 * TOKEN
FIGURES = {
    "receipts": 3,
    "minimum_bond": BOND,
    "lock": LOCK,
    "placement_blocks": 8,
    "answer_blocks": 8,
    "challenge_blocks": 6,
    "challenge_bond": TOKEN,
    "maximum_challenges": 3,
}
DATA = bytes(range(256)) * 40
"""What the data blob of these tests holds: three chunks."""
TREE = tensor_tree(DATA)


class Keeping(Market):
    """A market with holders. Mutable."""

    __test__ = False

    def __init__(self, holders: int = 6, solvers: int = 2, **changes: Any) -> None:
        self.figures = {**FIGURES, **changes}
        spec = replace(SPEC, data_blob=TREE.root)
        super().__init__(solvers=solvers, spec=spec, pool_blocks=60, verdict_blocks=100)
        self.holders = HOLDERS[:holders]
        if holders:
            self.author(*[(suri, blobs.RegisterHolder(BOND)) for suri in self.holders])

    def other_parameters(self) -> dict[str, dict[str, Any]]:
        return {"blobs": self.figures}

    @property
    def placement(self) -> blobs.Placement:
        found = blobs.PLACEMENTS.get(self.state, self.task)
        assert found is not None
        return found

    @property
    def asked(self) -> list[str]:
        """Who still owes a receipt."""
        return [NAMES[seat.holder] for seat in self.placement.seats if not seat.signed]

    @property
    def signed(self) -> list[str]:
        return [NAMES[seat.holder] for seat in self.placement.seats if seat.signed]

    def holder(self, suri: str) -> blobs.Holder:
        found = blobs.HOLDERS.get(self.state, account(suri))
        assert found is not None
        return found

    def to_asked(self) -> Keeping:
        """The task is submitted, its data are to be placed, and a committee is drawn."""
        self.to_pooled()
        self.submit(SUBMITTER, tasks.PlaceData(self.task, len(DATA)))
        while self.placement.status == "drawing":
            self.skip(1)
        return self

    def confirm(self, *suris: str) -> None:
        for suri in suris:
            self.submit(suri, blobs.SignReceipt(self.task))

    def to_placed(self) -> Keeping:
        self.to_asked()
        self.confirm(*self.asked[:3])
        assert self.placement.status == "placed"
        return self

    def challenge(self, challenger: str, holder: str, chunk: int = 1) -> None:
        self.submit(challenger, blobs.ChallengeChunk(self.task, account(holder), 0, chunk))

    def chunk(self, index: int) -> bytes:
        return DATA[index * 4096 : (index + 1) * 4096]

    def answer(self, index: int = 1) -> blobs.PostChunk:
        return blobs.PostChunk(self.task, 0, index, self.chunk(index), tuple(TREE.path(index)))
