"""Session: whose keys make and finalize blocks, for how long, and the proof of it afterwards.

A *session* is the time from the first block of an *epoch* (a fixed number of slots) to the first block of the next one
that has any. Epochs without blocks are skipped: the set that was announced for the next session then holds for the
next block, whenever that is. A *member* is a validator account with its *session key* and its *weight*, the stake it
was elected with. The members change only at session boundaries, and only once the last change is final, so a fork has
at most one change that is not. Each change makes a new *set* and is stated in the header (`NextAuthorities`). An *era*
begins with each elected set; a set never spans two eras, so its votes belong to one.

A new key counts three sessions later: the randomness of a session is made from outputs of the session two before it,
and nobody may choose a key with that in view. The members' Merkle root of each session is kept for as long as anyone
can be slashed for it, so that a report need only bring one path. Where one author makes every block nothing of this
happens.
"""

from __future__ import annotations

from runtime.codec import U32, U63, AccountId, Hash, Record
from runtime.errors import DispatchError
from runtime.pallet import Pallet
from runtime.state import Map, Value

PALLET = Pallet("session")

KEY_DELAY = 3
"""Sessions from `set_keys` until the key can be used."""
NO_KEY = bytes(32)
VRF_OUTPUT_BYTES = 64
PRUNED_AT_ONCE = 64
"""Sessions that one boundary forgets at most."""


class Keys(Record):
    """A validator's session key from session ``effective`` on, and the one before it (`NO_KEY` if there was none)."""

    old: Hash
    key: Hash
    effective: U63


class Member(Record):
    """One validator of a session: its account, the session key it signs with, and its weight."""

    account: AccountId
    key: AccountId
    weight: U63


class Session(Record):
    """One session. It answers for slots of the epochs after ``after_epoch`` up to ``epoch``, whose blocks its members
    made or, where epochs were skipped, should have made. ``root`` commits to its ``count`` members; ``era_first`` and
    ``set_first`` are the first sessions of its era and of its set; ``started`` is its first block."""

    index: U63
    after_epoch: U63
    epoch: U63
    era: U63
    era_first: U63
    set_id: U63
    set_first: U63
    started: U63
    count: U32
    total: U63
    root: Hash

    def covers(self, epoch: int) -> bool:
        """Whether offences in slots of that epoch are this session's."""
        return (self.after_epoch < epoch or self.index == 0) and epoch <= self.epoch


class KeyOwnership(Record):
    """Proof that ``member`` is member number ``position`` of a past or present session."""

    session: U63
    position: U32
    member: Member
    path: tuple[Hash, ...]


# --- storage

INDEX = PALLET.value("index", U63, 0)
OLDEST = PALLET.value("oldest", U63, 0)
"""The oldest session that is still known."""
SESSIONS: Map[int, Session] = PALLET.map("sessions", U63, Session)
MEMBERS: Value[tuple[Member, ...]] = PALLET.value("members", tuple[Member, ...], ())
QUEUED: Value[tuple[Member, ...]] = PALLET.value("queued", tuple[Member, ...], ())
"""The members announced for the next session."""
ELECTED = PALLET.value("elected", bool, False)
"""Whether the queue is a newly elected set, so that a new era begins with it."""
SLOT = PALLET.value("slot", U63, 0)
CHANGED = PALLET.value("changed", U63, 0)
"""The block that brought the present set."""
KEYS: Map[bytes, Keys] = PALLET.map("keys", AccountId, Keys)
KEY_OWNERS: Map[bytes, bytes] = PALLET.map("key_owners", AccountId, AccountId)

# --- events


@PALLET.event
class SessionStarted(Record):
    """The first block of a session; ``set_id`` is the set that follows from it."""

    index: U63
    epoch: U63
    era: U63
    set_id: U63
    members: U32


@PALLET.event
class KeysSet(Record):
    """A validator will use another session key from session ``effective`` on."""

    account: AccountId
    key: AccountId
    effective: U63


@PALLET.event
class KeysPurged(Record):
    """A validator's session keys were forgotten."""

    account: AccountId


@PALLET.event
class Disabled(Record):
    """A validator is left out of the coming sessions until it is elected again."""

    account: AccountId


# --- errors


@PALLET.error
class NoSessions(DispatchError):
    """One author makes every block of this network: there is nothing to validate."""


@PALLET.error
class BadPossession(DispatchError):
    """The proof is no signature of this account by the session key: rotate the keys on the node that holds them."""


@PALLET.error
class KeyTaken(DispatchError):
    """The session key is, or was until now, some validator's: generate another."""


@PALLET.error
class NoKeys(DispatchError):
    """The account has no session key."""


@PALLET.error
class StillValidating(DispatchError):
    """The account is in the present or the announced set: chill and wait for the next era."""


@PALLET.error
class UnknownSession(DispatchError):
    """The session lies in the future, or too far in the past to punish anything in it."""


@PALLET.error
class FalseOwnership(DispatchError):
    """The path does not lead from this member to the session's root."""
