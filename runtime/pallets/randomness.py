"""Randomness: what the lottery for slots draws from, one value for each session.

While a session runs, the VRF outputs of its blocks are hashed together. With the randomness that is already announced
for the next session they make the randomness of the one after: outputs of one session take effect two sessions later.
By then the keys that it applies to have been fixed for longer than the outputs were known (`session.KEY_DELAY`), so an
author has no choice but to give up blocks. A session that skips epochs uses what was announced last. This is the scheme
of BABE (Web3 Foundation, "BABE", section "Randomness"), counted in sessions.

Draws inside the protocol use `system.beacon` instead, which follows blocks more closely.
"""

from __future__ import annotations

from typing import Any

from runtime.block import Authority
from runtime.codec import U63, Hash, Record, encode
from runtime.pallet import Context, InvariantBroken, Pallet
from runtime.pallets import session, system
from runtime.state import State
from runtime.trees import hash_tagged
from runtime.weights import CALLS

PALLET = Pallet("randomness")


class Epoch(Record):
    """What a block of epoch ``index`` is checked against: the authorities in their order, and the lottery's input."""

    index: U63
    randomness: Hash
    authorities: tuple[Authority, ...]


# --- storage

CURRENT = PALLET.value("current", Hash, bytes(32))
NEXT = PALLET.value("next", Hash, bytes(32))
GATHERED = PALLET.value("gathered", Hash, bytes(32))
"""The hash chain over the VRF outputs of this session's blocks."""

# --- events


@PALLET.event
class RandomnessAnnounced(Record):
    """The randomness of the session after this one."""

    session: U63
    randomness: Hash


# --- hooks


@PALLET.on_initialize
def gather(ctx: Context) -> None:
    """Move on with the session, then add this block's VRF output."""
    state = ctx.state
    if system.has_one_author(state):
        return
    if session.has_begun(ctx):
        following = session.INDEX.get(state) + 1
        announced = hash_tagged(b"solvent:epoch", encode((NEXT.get(state), following, GATHERED.get(state))))
        CURRENT.put(state, NEXT.get(state))
        NEXT.put(state, announced)
        GATHERED.put(state, bytes(32))
        ctx.deposit(RandomnessAnnounced(following, announced))
    GATHERED.put(state, hash_tagged(b"solvent:gather", encode((GATHERED.get(state), ctx.output))))
    ctx.consume(CALLS["randomness.gather"])


@PALLET.genesis
def build(state: State, config: dict[str, Any]) -> None:
    """The first two sessions draw from the chain's id and its first authorities, which is as good as those."""
    if system.has_one_author(state):
        return
    seed = encode((system.CHAIN_ID.get(state), session.current(state).root))
    CURRENT.put(state, hash_tagged(b"solvent:epoch", encode((seed, 0))))
    NEXT.put(state, hash_tagged(b"solvent:epoch", encode((seed, 1))))


# --- functions for the node


def epoch_at(state: State, slot: int) -> Epoch:
    """Authorities and randomness for a block of that slot on top of the block whose state this is."""
    return Epoch(session.epoch_of(state, slot), randomness_for(state, slot), session.authorities_for(state, slot))


def randomness_for(state: State, slot: int) -> bytes:
    """What that slot draws with, on top of the block whose state this is."""
    return CURRENT.get(state) if session.is_current(state, slot) else NEXT.get(state)


@PALLET.check
def check(state: State) -> None:
    """Randomness exists exactly where there are sessions, and moves with them."""
    values = (CURRENT.get(state), NEXT.get(state))
    if system.has_one_author(state):
        if any(value != bytes(32) for value in values):
            raise InvariantBroken("a network with one author has randomness")
    elif bytes(32) in values or values[0] == values[1]:
        raise InvariantBroken("the randomness stands still")
