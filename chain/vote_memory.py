"""What a session key has signed in the votes on finality, on the disk: one memory for each set and key.

A validator changes its key while its node runs, and two keys may meet in one database: neither may take the votes of
the other for its own, nor overwrite or delete them. Sets follow each other, so who has signed in a later set signs
nothing more in an earlier one: that is what keeps a node whose blocks were purged from voting again on its way back.

Keys: ``v`` set, voter, round, stage -> what was signed; ``g`` set, voter -> what the last vote rested on.
"""

from __future__ import annotations

from collections.abc import Iterator

from chain.db import Batch, Database
from chain.grandpa.memory import Grounds, Memory, place_of
from chain.grandpa.messages import SignedProposal
from runtime.codec import decode, encode
from runtime.votes import SignedVote

VOTE, GROUNDS = b"v", b"g"
Signed = SignedVote | SignedProposal


class VoteMemory:
    """One key's memory in one set. Reads the database; what is to be written is returned."""

    def __init__(self, database: Database, set_id: int, key: bytes) -> None:
        self._database, self._set_id, self._key = database, set_id, key
        self._place = set_id.to_bytes(8, "big") + key

    def recall(self) -> Memory:
        """What was recorded before a restart."""
        grounds = self._database.get(GROUNDS + self._place)
        signed = tuple(
            signed for _, signed in signed_in(self._database, set_id=self._set_id) if signed.voter == self._key
        )
        return Memory(decode(grounds, Grounds) if grounds else None, signed)

    @property
    def is_over(self) -> bool:
        """Whether this validator has signed in a later set, with any key: here, or before its memory was carried over.

        What it signed in this set may then be forgotten.
        """
        return any(True for _ in signed_in(self._database, first=self._set_id + 1))

    def record(self, signed: Signed) -> Batch:
        """What was signed."""
        round_, stage = place_of(signed)
        return {self._round_key(round_) + stage.encode(): encode(signed)}

    def record_grounds(self, grounds: Grounds) -> Batch:
        """What the next vote rests on. This key's votes of rounds before that are of no use any more."""
        batch: Batch = {GROUNDS + self._place: encode(grounds)}
        last = self._round_key(grounds.completed.round)
        for key, _ in self._database.range(VOTE + self._place):
            if key < last:
                batch[key] = None
        return batch

    def _round_key(self, round_: int) -> bytes:
        return VOTE + self._place + round_.to_bytes(8, "big")


def signed_in(database: Database, set_id: int | None = None, first: int = 0) -> Iterator[tuple[bytes, Signed]]:
    """All that any key signed in a set, or in all sets from ``first`` on."""
    prefix = VOTE if set_id is None else VOTE + set_id.to_bytes(8, "big")
    for key, data in database.range(prefix, VOTE + first.to_bytes(8, "big")):
        yield key, decode(data, SignedVote | SignedProposal)


def forget_before(database: Database, set_id: int) -> Batch:
    """Delete what was signed in earlier sets: nothing is signed in them any more."""
    return {
        key: None
        for kind in (VOTE, GROUNDS)
        for key, _ in database.range(kind)
        if int.from_bytes(key[1:9], "big") < set_id
    }
