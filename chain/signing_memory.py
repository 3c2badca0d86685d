"""What a validator has signed: all that a key must not be without, and how it moves to another machine.

The last slot in which a block was made, the votes of the authority set that is not over yet, and what they rested on.
With it a key contradicts nothing, though blocks and state are gone. The file holds no secret; like the interchange
format of Ethereum's validators (EIP-3076) it is taken in only for the chain that it is of, and never loosens what is
remembered already.
"""

from __future__ import annotations

from typing import Any

from chain.db import Batch, Database
from chain.grandpa.memory import Grounds, place_of
from chain.grandpa.messages import SignedProposal, proposal_message
from chain.slot_author import AUTHORED
from chain.vote_memory import GROUNDS, VOTE, Signed, VoteMemory, signed_in
from runtime import crypto
from runtime.codec import U63, decode, encode
from runtime.crypto import from_ss58, to_ss58
from runtime.errors import CodecError, SolventError
from runtime.votes import SignedVote, vote_message

FORMAT = "solvent signing memory 1"


class MemoryRefused(SolventError):
    """The file is none, of another chain, or contradicts what this validator has signed."""


def signing_memory(database: Database) -> Batch:
    """What a validator must not forget, as a batch for an empty database; empty when it has signed nothing."""
    batch: Batch = {key: value for kind in (VOTE, GROUNDS) for key, value in database.range(kind)}
    last_slot = database.get(AUTHORED)
    return batch if last_slot is None else {**batch, AUTHORED: last_slot}


def export_memory(database: Database, genesis_hash: bytes) -> dict[str, Any]:
    """The same as JSON."""
    last_slot = database.get(AUTHORED)
    return {
        "format": FORMAT,
        "genesis": "0x" + genesis_hash.hex(),
        "lastSlot": None if last_slot is None else decode(last_slot, U63),
        "signed": ["0x" + encode(signed).hex() for _, signed in signed_in(database)],
        "grounds": [{"key": to_ss58(key[9:41]), "votes": "0x" + value.hex()} for key, value in database.range(GROUNDS)],
    }


def import_memory(
    database: Database, document: Any, genesis_hash: bytes, verify: crypto.Verify = crypto.verify
) -> tuple[Batch, set[bytes]]:
    """What to write so that nothing in the document is ever contradicted, and whose keys it speaks of. Raises
    `MemoryRefused`."""
    try:
        if document["format"] != FORMAT or document["genesis"] != "0x" + genesis_hash.hex():
            raise MemoryRefused(f"it is no {FORMAT!r} of this chain, whose genesis is 0x{genesis_hash.hex()}")
        last_slot = -1 if document["lastSlot"] is None else int(document["lastSlot"])
        signed: list[Signed] = [decode(_bytes(text), SignedVote | SignedProposal) for text in document["signed"]]
        grounds: list[tuple[bytes, Grounds]] = [
            (from_ss58(item["key"]), decode(_bytes(item["votes"]), Grounds)) for item in document["grounds"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError, CodecError, crypto.KeyFormatError) as error:
        raise MemoryRefused(f"it is damaged: {error}") from None
    batch: Batch = {}
    for item in signed:
        if not verify(item.voter, item.signature, _message(item, genesis_hash)):
            raise MemoryRefused(f"a signature by {to_ss58(item.voter)} is wrong: the file is damaged")
        batch |= _merge(database, item)
    for key, rested_on in grounds:
        memory = VoteMemory(database, rested_on.current.set_id, key)
        known = memory.recall().grounds
        if known is None or known.current.round < rested_on.current.round:
            batch |= memory.record_grounds(rested_on)
    stored = database.get(AUTHORED)
    if last_slot > (-1 if stored is None else decode(stored, U63)):
        batch[AUTHORED] = encode(last_slot)
    return batch, {item.voter for item in signed}


def _merge(database: Database, signed: Signed) -> Batch:
    set_id = (signed.vote if isinstance(signed, SignedVote) else signed.proposal).set_id
    memory = VoteMemory(database, set_id, signed.voter)
    for known in memory.recall().signed:
        if place_of(known) == place_of(signed) and known != signed:
            where = "round {}, {}".format(*place_of(signed))
            raise MemoryRefused(
                f"{to_ss58(signed.voter)} has signed something else in set {set_id}, {where} here: it contradicts "
                "itself already, so use a new session key"
            )
    return memory.record(signed)


def _message(signed: Signed, genesis_hash: bytes) -> bytes:
    if isinstance(signed, SignedVote):
        return vote_message(genesis_hash, signed.vote)
    return proposal_message(genesis_hash, signed.proposal)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
