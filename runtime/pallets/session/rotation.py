"""How sessions follow one another: the hook, the first session, and the invariants."""

from __future__ import annotations

from typing import Any

from runtime import crypto
from runtime.block import NextAuthorities
from runtime.crypto import from_ss58
from runtime.errors import InvalidBlock
from runtime.pallet import Context, InvariantBroken
from runtime.pallets import system
from runtime.pallets.session.members import (
    authorities_of,
    commit_members,
    current,
    epoch_of,
    is_punishable,
    may_change,
    put_members,
    refresh,
    upcoming,
)
from runtime.pallets.session.storage import (
    CHANGED,
    ELECTED,
    INDEX,
    KEY_OWNERS,
    KEYS,
    MEMBERS,
    NO_KEY,
    OLDEST,
    PALLET,
    PRUNED_AT_ONCE,
    QUEUED,
    SESSIONS,
    SLOT,
    VRF_OUTPUT_BYTES,
    Keys,
    Member,
    Session,
    SessionStarted,
)
from runtime.state import State
from runtime.weights import CALLS


@PALLET.on_initialize
def begin_block(ctx: Context) -> None:
    """Start a session when the slot's epoch is new, and find out for whom the author's key works. `InvalidBlock` for a
    slot that is not after the parent's, a digest without VRF output, or an author outside the set."""
    state = ctx.state
    if system.has_one_author(state):
        return
    if ctx.slot <= SLOT.get(state):
        raise InvalidBlock(f"slot {ctx.slot} does not come after the parent's slot {SLOT.get(state)}")
    if len(ctx.output) != VRF_OUTPUT_BYTES:
        raise InvalidBlock(f"the digest states a VRF output of {len(ctx.output)} bytes, not {VRF_OUTPUT_BYTES}")
    SLOT.put(state, ctx.slot)
    if epoch_of(state, ctx.slot) > current(state).epoch:
        _rotate(ctx)
    owner = next((member.account for member in MEMBERS.get(state) if member.key == ctx.author), None)
    if owner is None:
        raise InvalidBlock(f"{crypto.to_ss58(ctx.author)} is no session key of the present set")
    ctx.author = owner


def _rotate(ctx: Context) -> None:
    state, last = ctx.state, current(ctx.state)
    members = upcoming(state)
    elected = may_change(state) and ELECTED.get(state)
    changed = elected or members != MEMBERS.get(state)
    index = last.index + 1
    session = Session(
        index,
        last.epoch,
        epoch_of(state, ctx.slot),
        last.era + int(elected),
        index if elected else last.era_first,
        last.set_id + int(changed),
        index if changed else last.set_first,
        ctx.number,
        *commit_members(members),
    )
    INDEX.put(state, index)
    SESSIONS.put(state, index, session)
    if elected:
        ELECTED.put(state, False)
    if changed:
        put_members(state, members)
        CHANGED.put(state, ctx.number)
        ctx.logs.append(NextAuthorities(session.set_id, authorities_of(members)))
    QUEUED.put(state, refresh(state, QUEUED.get(state)))
    _prune(state, session)
    ctx.consume(CALLS["session.rotate.member"] * len(members))
    ctx.deposit(SessionStarted(index, session.epoch, session.era, session.set_id, len(members)))


def _prune(state: State, session: Session) -> None:
    oldest = OLDEST.get(state)
    for index in range(oldest, oldest + PRUNED_AT_ONCE):
        known = SESSIONS.get(state, index)
        if known is None or is_punishable(state, known):
            break
        SESSIONS.delete(state, index)
        OLDEST.put(state, index + 1)


@PALLET.genesis
def build(state: State, config: dict[str, Any]) -> None:
    """The members of session 0: authorities are objects with an account, its session key and its stake."""
    if system.has_one_author(state):
        return
    members = tuple(parse_authority(item) for item in config["authorities"])
    for member in members:
        if KEYS.contains(state, member.account) or KEY_OWNERS.contains(state, member.key):
            raise ValueError(f"the authority {crypto.to_ss58(member.account)} or its session key appears twice")
        KEYS.put(state, member.account, Keys(NO_KEY, member.key, 0))
        KEY_OWNERS.put(state, member.key, member.account)
    SESSIONS.put(state, 0, Session(0, 0, 0, 0, 0, 0, 0, 0, *commit_members(members)))
    put_members(state, members)
    QUEUED.put(state, members)


def parse_authority(item: Any) -> Member:
    """An authority of the genesis file. Raises `ValueError` or `KeyFormatError`."""
    if not isinstance(item, dict) or sorted(item) != ["account", "session_key", "stake"]:
        raise ValueError("an authority is an object with exactly the fields account, session_key and stake")
    stake = item["stake"]
    if not isinstance(stake, str) or not stake.isdecimal() or not 0 < int(stake) < 2**63:
        raise ValueError(f"{item['account']} has the stake {stake!r}, which is no decimal string of units")
    member = Member(from_ss58(item["account"]), from_ss58(item["session_key"]), int(stake))
    if member.key == NO_KEY:
        raise ValueError(f"the session key of {item['account']} is nobody's")
    return member


@PALLET.check
def check(state: State) -> None:
    """The present members are those their session commits to, keys have one owner, and history has no gaps."""
    if system.has_one_author(state):
        if SESSIONS.contains(state, 0) or MEMBERS.get(state):
            raise InvariantBroken("a network with one author has sessions")
        return
    session, members = current(state), MEMBERS.get(state)
    if (session.count, session.total, session.root) != commit_members(members):
        raise InvariantBroken(f"the members are not those of {session}")
    for group in (members, QUEUED.get(state)):
        if not group or len({member.key for member in group}) != len(group):
            raise InvariantBroken("a set is empty, or two of its members share a key")
    owned = {key: account for account, keys in KEYS.items(state) for key in (keys.old, keys.key) if key != NO_KEY}
    if owned != dict(KEY_OWNERS.items(state)):
        raise InvariantBroken("a session key has another owner than the account that announced it")
    if sorted(SESSIONS.keys(state)) != list(range(OLDEST.get(state), session.index + 1)):
        raise InvariantBroken(f"sessions are missing between {OLDEST.get(state)} and {session.index}")
