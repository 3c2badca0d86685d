"""What a validator may do with its session keys."""

from __future__ import annotations

from runtime import crypto
from runtime.codec import AccountId, Record, Signature, encode
from runtime.pallet import Context
from runtime.pallets import system
from runtime.pallets.session.members import require_sessions
from runtime.pallets.session.storage import (
    INDEX,
    KEY_DELAY,
    KEY_OWNERS,
    KEYS,
    MEMBERS,
    NO_KEY,
    PALLET,
    QUEUED,
    BadPossession,
    Keys,
    KeysPurged,
    KeysSet,
    KeyTaken,
    NoKeys,
    StillValidating,
)
from runtime.trees import hash_tagged
from runtime.weights import CALLS


class SetKeys(Record):
    """Use the session key ``key``; ``possession`` is its signature of `possession_message`."""

    key: AccountId
    possession: Signature


class PurgeKeys(Record):
    """Forget this account's session keys."""


@PALLET.call(weight=CALLS["session.set_keys"])
def set_keys(ctx: Context, origin: AccountId, args: SetKeys) -> None:
    """Announce the key of the node that validates for this account; a key not yet in use is replaced."""
    state = ctx.state
    require_sessions(state)
    if not crypto.verify(args.key, args.possession, possession_message(system.GENESIS_HASH.get(state), origin)):
        raise BadPossession("the proof is no signature of this account's id on this chain by the session key")
    if args.key == NO_KEY or KEY_OWNERS.contains(state, args.key):
        raise KeyTaken(f"the key {args.key.hex()} has been announced before")
    known = KEYS.get(state, origin)
    effective, old = INDEX.get(state) + KEY_DELAY, NO_KEY
    if known is not None:
        settled = known.effective <= INDEX.get(state) + 1  # in use, or announced for the next session
        old, dropped = (known.key, known.old) if settled else (known.old, known.key)
        KEY_OWNERS.delete(state, dropped)
    KEYS.put(state, origin, Keys(old, args.key, effective))
    KEY_OWNERS.put(state, args.key, origin)
    ctx.deposit(KeysSet(origin, args.key, effective))


@PALLET.call(weight=CALLS["session.purge_keys"])
def purge_keys(ctx: Context, origin: AccountId, args: PurgeKeys) -> None:
    """Give the session keys up, after the last session that needs them."""
    known = KEYS.get(ctx.state, origin)
    if known is None:
        raise NoKeys("this account has announced no session key")
    if any(member.account == origin for member in (*MEMBERS.get(ctx.state), *QUEUED.get(ctx.state))):
        raise StillValidating("this account is in the present or the announced set")
    KEYS.delete(ctx.state, origin)
    for key in (known.old, known.key):
        KEY_OWNERS.delete(ctx.state, key)
    ctx.deposit(KeysPurged(origin))


def possession_message(genesis_hash: bytes, account: bytes) -> bytes:
    """What a session key signs to show that its holder agrees to validate for the account on this chain."""
    return hash_tagged(b"solvent:possess", encode((genesis_hash, account)))
