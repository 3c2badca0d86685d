"""`LightClient`: what is final, and what the state holds there, proved by a node that one need not trust.

It knows the genesis hash. The genesis configuration, which any node may hand over, makes the first state and therefore
that hash, and names the first voters; every change of the voters was made final by those before them; and the present
ones sign the newest final block (`runtime.finality`). A storage proof against that block's state root does the rest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from runtime import merkle
from runtime.block import Header, genesis_header, header_hash, slot_of
from runtime.codec import decode
from runtime.errors import SolventError
from runtime.finality import TrustedSet, follow_step
from runtime.genesis import build_genesis, parse_genesis
from runtime.pallets import session, system, timestamp
from runtime.pallets.session import Session
from runtime.seals import validate_seal
from runtime.state import Map, State, Value
from solvent.client import NO_KEY, Client
from solvent.errors import BadAnswer, ClientError, StaleHead
from solvent.outcomes import bytes_of_hex

MAX_AGE_SECONDS = 60.0
MAX_ROUNDS = 10_000
"""Answers about changes of the voters that are followed at once; each holds hundreds."""


class LightClient:
    """Mutable: it remembers the newest final block, and never goes back behind it.

    ``checkpoint`` is a recent block that one trusts, ``trusted`` what an earlier light client came to. One is
    needed where the network is older than its voters' stake is bound: after that time those of long ago may sign
    another history and lose nothing (docs/following.md).
    """

    def __init__(
        self,
        client: Client,
        genesis_hash: bytes,
        checkpoint: bytes | None = None,
        trusted: TrustedSet | None = None,
        max_age_seconds: float = MAX_AGE_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.client, self.genesis_hash = client, genesis_hash
        self.trusted = trusted
        """The voters that are known, and the final block after which they vote; None before the first `follow`."""
        self._checkpoint, self._max_age, self._now = checkpoint, max_age_seconds, now
        self._genesis: State | None = None
        self._head: Header | None = None

    def follow(self) -> Header:
        """The newest final header that the node can prove. Raises `BadAnswer` for what does not hold, and `StaleHead`
        when the newest one is old: the node is behind, or hides what came after."""
        try:
            self._head = self._sealed_head() if self._has_one_author() else self._voted_head()
        except ClientError:
            raise
        except (SolventError, KeyError, TypeError) as error:
            raise BadAnswer(f"the node's proof does not hold: {error}") from None
        self._require_fresh(header_hash(self._head))
        return self._head

    def read(self, descriptor: Value[Any] | Map[Any, Any], key: Any = NO_KEY) -> Any:
        """As `Client.read`, proved at the newest final block. Raises as `follow` does."""
        return self.client.verify_storage(descriptor, key, at=header_hash(self.follow()))

    # --- the beginning

    def _first_state(self) -> State:
        """The state before block 1, rebuilt from what the node says the genesis was."""
        if self._genesis is None:
            state = build_genesis(parse_genesis(json.dumps(self.client.call("chain_getGenesis"))))
            root = merkle.update(lambda path: None, state.changes()).root
            if header_hash(genesis_header(root)) != self.genesis_hash:
                raise BadAnswer(f"the node is of another network than 0x{self.genesis_hash.hex()}")
            self._genesis = state
        return self._genesis

    def _has_one_author(self) -> bool:
        return system.has_one_author(self._first_state())

    def _begin(self) -> TrustedSet:
        """The voters at genesis, or at the checkpoint."""
        if self._checkpoint is None:
            members = session.authorities_of(session.MEMBERS.get(self._first_state()))
            return TrustedSet(0, self.genesis_hash, session.current(self._first_state()).set_id, members)
        at, verify = self._checkpoint, self.client.verify_storage
        header = self.client.header(at)
        current: Session | None = verify(session.SESSIONS, verify(session.INDEX, at=at), at=at)
        if current is None:
            raise BadAnswer(f"block 0x{at.hex()} has no session")
        members = session.authorities_of(verify(session.MEMBERS, at=at))
        return TrustedSet(header.number, at, current.set_id, members)

    # --- the end

    def _voted_head(self) -> Header:
        """Follow the changes of the voters to the latest justification."""
        trusted = self.trusted or self._begin()
        head = self._head
        for _ in range(MAX_ROUNDS):
            answer = self.client.call("grandpa_proveAuthorities", trusted.number)
            for step in answer["steps"]:
                head = decode(bytes_of_hex(step["header"]), Header)
                trusted = follow_step(trusted, head, bytes_of_hex(step["justification"]), self.genesis_hash)
            if answer["complete"] or not answer["steps"]:
                break
        self.trusted = trusted
        return head if head is not None else self.client.header(trusted.hash)

    def _sealed_head(self) -> Header:
        """Where one author makes every block, each is final by its seal."""
        head = self.client.header(self.client.finalized_hash())
        if head.number == 0:
            raise StaleHead("the node has no block yet")
        validate_seal(head, self.genesis_hash)
        if slot_of(head.digest).author not in system.AUTHORITIES.get(self._first_state()):
            raise BadAnswer(f"block {head.number} is by somebody else than the network's author")
        if self._head is not None and head.number < self._head.number:
            raise StaleHead(f"the node says that block {head.number} is the newest, after {self._head.number}")
        return head

    def _require_fresh(self, at: bytes) -> None:
        age = self._now() - self.client.verify_storage(timestamp.NOW, at=at) / 1000
        if age > self._max_age:
            raise StaleHead(
                f"the newest final block that the node proves is {age:.0f} seconds old: it is behind, or hides what "
                "came after; ask another node"
            )
