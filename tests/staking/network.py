"""A chain with several validators for tests: short epochs, authors in turn, and finality a few blocks behind.

Session keys are ``//Alice//session`` and so on, so nobody can mistake an account for its key.
"""

from __future__ import annotations

from hashlib import sha512
from typing import Any

from runtime import crypto
from runtime.block import BeaconOutput, DigestItem, Header, Seal, Slot, seal_message
from runtime.codec import Record, replace
from runtime.executive import Receipt, build_inherents
from runtime.pallet import Context
from runtime.pallets import balances, offences, session, staking
from runtime.parameters import TESTNET, TOKEN
from runtime.votes import SignedVote, Stage, Vote, sign_vote
from tests.support.chain import TestChain, account, seed

STAKES = {"//Alice": 4_000 * TOKEN, "//Bob": 3_000 * TOKEN, "//Charlie": 2_000 * TOKEN}
EPOCH, SESSIONS, UNBONDING = 4, 2, 3
MINIMUM = TESTNET.consensus.minimum_stake


def key_of(suri: str) -> bytes:
    """The session key that a validator starts with."""
    return account(f"{suri}//session")


def output_of_slot(slot: int) -> bytes:
    return sha512(slot.to_bytes(8, "big")).digest()


class Network(TestChain):
    """A `TestChain` of the testnet preset. ``skip_slots`` come before the next block; ``lag`` is how far finality is
    behind the parent, None while nobody finalizes."""

    def __init__(self, stakes: dict[str, int] | None = None, **consensus: int) -> None:
        self.stakes = STAKES if stakes is None else stakes
        self.skip_slots = 0
        self.lag: int | None = 1
        numbers = {"epoch_slots": EPOCH, "era_sessions": SESSIONS, "unbonding_eras": UNBONDING, "maximum_validators": 3}
        super().__init__(parameters={"consensus": {**numbers, **consensus}})

    def configure(self, config: dict[str, Any]) -> None:
        config.update(id="stakes", preset="testnet")
        config["authorities"] = [
            {
                "account": crypto.to_ss58(account(suri)),
                "session_key": crypto.to_ss58(key_of(suri)),
                "stake": str(stake),
            }
            for suri, stake in self.stakes.items()
        ]

    @property
    def slot(self) -> int:
        """The slot of the next block."""
        return session.SLOT.get(self.state) + 1 + self.skip_slots

    @property
    def session(self) -> session.Session:
        return session.current(self.state)

    def state_digest(self, author: str) -> tuple[DigestItem, ...]:
        authorities = session.authorities_for(self.state, self.slot)
        key = authorities[self.slot % len(authorities)].key
        return (Slot(self.slot, key), BeaconOutput(output_of_slot(self.slot), bytes(80)))

    def build_inherents(self) -> tuple[bytes, ...]:
        finalized = None if self.lag is None else max(self.number - self.lag, 0)
        return build_inherents(self.slot * TESTNET.block.slot_milliseconds, finalized)

    def finish_block(self, ctx: Context, author: str = "//Alice") -> tuple[Receipt, ...]:
        receipts = super().finish_block(ctx, author)
        self.skip_slots = 0
        return receipts

    def next_session(self, count: int = 1) -> None:
        """Empty blocks until ``count`` sessions more have begun."""
        target = self.session.index + count
        while self.session.index < target:
            self.author()

    def next_era(self, count: int = 1) -> None:
        """Empty blocks until ``count`` eras more have begun."""
        target = self.session.era + count
        while self.session.era < target:
            self.author()

    def members(self) -> list[bytes]:
        return [member.account for member in session.MEMBERS.get(self.state)]

    def stand(self, suri: str, stake: int) -> None:
        """Bond, set keys and stand for election."""
        self.submit(suri, staking.Bond(stake))
        self.submit(suri, self.set_keys(suri, f"{suri}//session"))
        self.submit(suri, staking.Validate())

    def set_keys(self, suri: str, key: str) -> session.SetKeys:
        message = session.possession_message(self.genesis_hash, account(suri))
        return session.SetKeys(account(key), crypto.sign(seed(key), message))

    def issuance(self) -> int:
        return balances.ISSUANCE.get(self.state)

    # --- offences

    def header(self, suri: str, slot: int, salt: int = 0, genesis: bytes | None = None) -> Header:
        """A header sealed by a validator for a slot; another ``salt`` makes another header."""
        key = f"{suri}//session"
        bare = Header(bytes(32), 1 + salt, bytes(32), bytes(32), (Slot(slot, account(key)),))
        seal = Seal(crypto.sign(seed(key), seal_message(bare, genesis or self.genesis_hash)))
        return replace(bare, digest=(*bare.digest, seal))

    def vote(self, suri: str, set_id: int, round_: int = 3, stage: Stage = "prevote", salt: int = 0) -> SignedVote:
        vote = Vote(stage, set_id, round_, bytes([salt]) * 32, 5)
        return sign_vote(seed(f"{suri}//session"), self.genesis_hash, vote)

    def ownership(self, suri: str, index: int | None = None) -> session.KeyOwnership:
        """Proof of a validator's key in a session that had the present members."""
        chosen = self.session.index if index is None else index
        return session.build_ownership(chosen, session.MEMBERS.get(self.state), key_of(suri))

    def headers_report(self, suri: str, slot: int | None = None) -> offences.ReportEquivocation:
        at = session.SLOT.get(self.state) if slot is None else slot
        evidence = offences.HeaderEquivocation(self.header(suri, at), self.header(suri, at, 1))
        return offences.ReportEquivocation(evidence, self.ownership(suri))

    def votes_report(self, suri: str) -> offences.ReportEquivocation:
        set_id = self.session.set_id
        evidence = offences.VoteEquivocation(self.vote(suri, set_id), self.vote(suri, set_id, salt=1))
        return offences.ReportEquivocation(evidence, self.ownership(suri, self.session.set_first))

    def event(self, kind: type[Record]) -> Any:
        (found,) = self.events(kind)
        return found
