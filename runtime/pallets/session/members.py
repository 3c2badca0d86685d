"""Who is a member when, under which key, and how that is proved: what other pallets and nodes read."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.block import Authority
from runtime.codec import encode
from runtime.pallet import Context
from runtime.pallets import system
from runtime.pallets.session.storage import (
    CHANGED,
    ELECTED,
    INDEX,
    KEYS,
    MEMBERS,
    NO_KEY,
    OLDEST,
    QUEUED,
    SESSIONS,
    Disabled,
    FalseOwnership,
    KeyOwnership,
    Member,
    NoSessions,
    Session,
    UnknownSession,
)
from runtime.state import State
from runtime.trees import Tree, hash_tagged, verify_path


def require_sessions(state: State) -> None:
    """Raises `NoSessions` where one author makes every block."""
    if system.has_one_author(state):
        raise NoSessions("one author makes every block of this network")


def epoch_of(state: State, slot: int) -> int:
    """The epoch that a slot lies in."""
    return slot // system.parameters(state).consensus.epoch_slots


def current(state: State) -> Session:
    """The session of the last block."""
    session = SESSIONS.get(state, INDEX.get(state))
    if session is None:
        raise NoSessions("one author makes every block of this network")
    return session


def has_begun(ctx: Context) -> bool:
    """Whether this block is the first of its session."""
    return not system.has_one_author(ctx.state) and current(ctx.state).started == ctx.number


def may_change(state: State) -> bool:
    """Whether the next session may have other members: the change before must be final."""
    return CHANGED.get(state) <= system.FINALIZED.get(state)


def upcoming(state: State) -> tuple[Member, ...]:
    """The members of the next session, if it began with the next block."""
    return QUEUED.get(state) if may_change(state) else MEMBERS.get(state)


def is_current(state: State, slot: int) -> bool:
    """Whether a block of that slot, on top of the block whose state this is, belongs to the same session."""
    return epoch_of(state, slot) <= current(state).epoch


def authorities_for(state: State, slot: int) -> tuple[Authority, ...]:
    """Who may make a block of that slot on top of the block whose state this is, skipped epochs included."""
    return authorities_of(MEMBERS.get(state) if is_current(state, slot) else upcoming(state))


def authorities_of(members: Sequence[Member]) -> tuple[Authority, ...]:
    """What voters and lotteries need of members: keys and weights."""
    return tuple(Authority(member.key, member.weight) for member in members)


def key_at(state: State, account: bytes, index: int) -> bytes | None:
    """The session key that the account may use in session ``index``, as far as is announced; None if it has none."""
    keys = KEYS.get(state, account)
    if keys is None:
        return None
    if keys.effective <= index:
        return keys.key
    return keys.old if keys.old != NO_KEY else None


def refresh(state: State, members: Sequence[Member]) -> tuple[Member, ...]:
    """These members with the keys of the next session, without any who has none; unchanged if nobody would be left."""
    following, fresh = INDEX.get(state) + 1, []
    for member in members:
        key = key_at(state, member.account, following)
        if key is not None:
            fresh.append(Member(member.account, key, member.weight))
    return tuple(fresh or members)


def is_election_due(state: State) -> bool:
    """Whether this is the last planned session of the era, and the next set is still to be elected."""
    session = current(state)
    planned = session.era_first + system.parameters(state).consensus.era_sessions
    return session.index + 1 >= planned and not ELECTED.get(state)


def announce(state: State, members: tuple[Member, ...]) -> None:
    """Queue an elected set: a new era begins with it at the next boundary at which the set may change."""
    QUEUED.put(state, members)
    ELECTED.put(state, True)


def disable(ctx: Context, account: bytes) -> None:
    """Leave a member out of the coming sessions until it is elected again, as long as anyone else is left."""
    queued = QUEUED.get(ctx.state)
    left = tuple(member for member in queued if member.account != account)
    if left and left != queued:
        QUEUED.put(ctx.state, left)
        ctx.deposit(Disabled(account))


def punishable_slots(state: State) -> int:
    """Slots for which the members of a session can surely be slashed for what they sign (`is_punishable`)."""
    consensus = system.parameters(state).consensus
    return consensus.epoch_slots * consensus.era_sessions * max(consensus.unbonding_eras - 1, 0)


def is_punishable(state: State, session: Session) -> bool:
    """Whether offences of that session can still be reported. All stake that had weight in it is still bonded or
    unbonding then: what was unbonded in the era before (after its election) is the first to be free again."""
    window = system.parameters(state).consensus.unbonding_eras - 1
    return current(state).era < session.era + window


def validate_ownership(state: State, proof: KeyOwnership) -> Session:
    """The punishable session that a proof leads to. Raises `UnknownSession` or `FalseOwnership`."""
    session = SESSIONS.get(state, proof.session)
    if session is None or not is_punishable(state, session):
        raise UnknownSession(f"session {proof.session}; {OLDEST.get(state)} to {INDEX.get(state)} can be punished")
    if not verify_path(session.root, session.count, proof.position, leaf_of(proof.member), proof.path):
        raise FalseOwnership(
            f"session {proof.session} had another member number {proof.position}, or the path is wrong"
        )
    return session


def build_ownership(index: int, members: Sequence[Member], key: bytes) -> KeyOwnership:
    """The proof that the owner of ``key`` was a member of session ``index``, which had these members. Raises
    `ValueError` when none of them has the key."""
    position = [member.key for member in members].index(key)
    path = Tree([leaf_of(member) for member in members]).path(position)
    return KeyOwnership(index, position, members[position], path)


def leaf_of(member: Member) -> bytes:
    return hash_tagged(b"solvent:member", encode(member))


def commit_members(members: Sequence[Member]) -> tuple[int, int, bytes]:
    """Number, total weight and Merkle root of members."""
    total = sum(member.weight for member in members)
    return len(members), total, Tree([leaf_of(member) for member in members]).root


def put_members(state: State, members: tuple[Member, ...]) -> None:
    MEMBERS.put(state, members)
    system.AUTHORITIES.put(state, tuple(member.key for member in members))
