"""Chunk challenges: any chunk of what a holder signed for, asked of it on chain, and what silence costs.

The challenger's bond goes to the holder that posts the chunk, so asking for nothing costs more than answering; the
chunk is then on chain, for everybody to read. Whoever does not answer loses what its seat locked: half of it to the
challenger, so that challenging one's own holder loses the other half. Open challenges of one placement are bounded.
"""

from __future__ import annotations

from runtime.codec import U32, U63, AccountId, Hash, Record, encode
from runtime.commitments import chunk_count, chunk_leaf
from runtime.pallet import Context, InvariantBroken
from runtime.pallets import balances, system
from runtime.pallets.blobs.holders import slash_seat
from runtime.pallets.blobs.placements import drop_seat
from runtime.pallets.blobs.storage import (
    ANSWERS,
    CHALLENGED,
    CHALLENGES,
    DRAWING,
    DUES,
    HOLDER_REASON,
    HOLDERS,
    ITEMS,
    OPEN,
    PALLET,
    PLACEMENTS,
    PLACING,
    ROSTER,
    Challenge,
    ChallengeKey,
    ChunkChallenged,
    ChunkPosted,
    ChunkRefused,
    Item,
    NoSuchChunk,
    NotHeld,
    Seat,
    TooManyChallenges,
    UnknownChallenge,
    UnknownPlacement,
    WrongChunk,
    parameters,
    pot_reason,
)
from runtime.state import State
from runtime.trees import hash_tagged, verify_path
from runtime.weights import CALLS

MAXIMUM_CHUNK_BYTES = 4096


class ChallengeChunk(Record):
    """Ask a holder for a chunk of a blob that it signed a receipt for."""

    placement: Hash
    holder: AccountId
    item: U32
    chunk: U63


class PostChunk(Record):
    """The chunk that was asked for, and its path to the blob's root."""

    placement: Hash
    item: U32
    chunk: U63
    data: bytes
    path: tuple[Hash, ...]


def challenge_reason(key: ChallengeKey) -> bytes:
    """The reason under which a challenge's bond is held."""
    return b"chunk:" + hash_tagged(b"solvent:askchunk", encode(key))


@PALLET.call(weight=CALLS["blobs.challenge_chunk"])
def challenge_chunk(ctx: Context, origin: AccountId, args: ChallengeChunk) -> None:
    """Ask for a chunk, with a bond."""
    figures = parameters(ctx.state)
    placement = PLACEMENTS.get(ctx.state, args.placement)
    if placement is None or placement.status not in OPEN:
        raise UnknownPlacement(f"placement {args.placement.hex()} is not open")
    if Seat(args.holder, True) not in placement.seats or args.holder == origin:
        raise NotHeld("that account signed no receipt for the placement, or is the challenger")
    _require_chunk(ctx.state, args.placement, args.item, args.chunk)
    key = ChallengeKey(args.placement, args.holder, args.item, args.chunk)
    count = CHALLENGED.get(ctx.state, args.placement) or 0
    if CHALLENGES.contains(ctx.state, key) or count >= figures.maximum_challenges:
        raise TooManyChallenges(f"{count} chunks are challenged; at most {figures.maximum_challenges}, each once")
    balances.hold(ctx, origin, challenge_reason(key), figures.challenge_bond)
    deadline = ctx.finalized + figures.challenge_blocks
    CHALLENGES.put(ctx.state, key, Challenge(origin, figures.challenge_bond, deadline))
    CHALLENGED.put(ctx.state, args.placement, count + 1)
    ANSWERS.schedule(ctx.state, deadline, key)
    ctx.deposit(ChunkChallenged(*_fields(key), origin, deadline))


def _require_chunk(state: State, placement: bytes, item: int, chunk: int) -> Item:
    """The item that has the chunk. Raises `NoSuchChunk`."""
    items = ITEMS.get(state, placement) or ()
    if item >= len(items) or chunk >= chunk_count(items[item].size):
        raise NoSuchChunk(f"chunk {chunk} of item {item}; the placement has {len(items)} items")
    return items[item]


def _is_challenged(state: State, origin: bytes, args: PostChunk) -> bool:
    """Whether the chunk is asked of the account: then it may use the reserved share of a block."""
    return CHALLENGES.contains(state, ChallengeKey(args.placement, origin, args.item, args.chunk))


@PALLET.call(weight=CALLS["blobs.post_chunk"], operational=_is_challenged)
def post_chunk(ctx: Context, origin: AccountId, args: PostChunk) -> None:
    """Answer a challenge; the challenger's bond pays for it."""
    key = ChallengeKey(args.placement, origin, args.item, args.chunk)
    challenge = CHALLENGES.get(ctx.state, key)
    if challenge is None or ctx.finalized >= challenge.deadline:
        raise UnknownChallenge("nobody asks this chunk of this account, or its time is over")
    item = _require_chunk(ctx.state, args.placement, args.item, args.chunk)
    length = min(MAXIMUM_CHUNK_BYTES, item.size - args.chunk * MAXIMUM_CHUNK_BYTES)
    if len(args.data) != length:
        raise WrongChunk(f"{len(args.data)} bytes; the chunk has {length}")
    if not verify_path(item.root, chunk_count(item.size), args.chunk, chunk_leaf(args.data), args.path):
        raise WrongChunk(f"the bytes do not lead to root {item.root.hex()}")
    balances.move_held(ctx, challenge.challenger, challenge_reason(key), origin, challenge.bond)
    _forget(ctx, key)
    ctx.deposit(ChunkPosted(*_fields(key), challenge.bond))


@PALLET.on_initialize
def process_answers(ctx: Context) -> None:
    """Slash holders that let a challenge pass. Where the placement was released meanwhile, nobody owes anything."""
    figures = parameters(ctx.state)
    for key in ANSWERS.drain(ctx, figures.deadlines_per_block, figures.deadline_weight):
        ctx.consume(CALLS["blobs.deadline"])
        challenge = CHALLENGES.get(ctx.state, key)
        if challenge is None or challenge.deadline > ctx.finalized:
            continue
        balances.release(ctx, challenge.challenger, challenge_reason(key), challenge.bond)
        _forget(ctx, key)
        placement = PLACEMENTS.get(ctx.state, key.placement)
        if placement is None or Seat(key.holder, True) not in placement.seats:
            continue
        reward = slash_seat(ctx, key.holder, placement.lock, challenge.challenger)
        ctx.deposit(ChunkRefused(*_fields(key), challenge.challenger, placement.lock, reward))
        drop_seat(ctx, key.placement, placement, key.holder)


def _fields(key: ChallengeKey) -> tuple[bytes, bytes, int, int]:
    return key.placement, key.holder, key.item, key.chunk


def _forget(ctx: Context, key: ChallengeKey) -> None:
    CHALLENGES.delete(ctx.state, key)
    left = (CHALLENGED.get(ctx.state, key.placement) or 0) - 1
    if left:
        CHALLENGED.put(ctx.state, key.placement, left)
    else:
        CHALLENGED.delete(ctx.state, key.placement)


@PALLET.check
def check(state: State) -> None:
    """Seats add up to what holders have locked, bonds and pots are really held, and no deadline was missed."""
    now = system.finalized(state, system.NUMBER.get(state) - 1)
    locks: dict[bytes, int] = {}
    seats: dict[bytes, int] = {}
    waiting = {(due.placement, due.status, due.committees) for _, due in DUES.pending(state)}
    behind = any(block <= now for block, _ in (*DUES.pending(state), *ANSWERS.pending(state)))
    for name, placement in PLACEMENTS.items(state):
        for seat in placement.seats:
            locks[seat.holder] = locks.get(seat.holder, 0) + placement.lock
            seats[seat.holder] = seats.get(seat.holder, 0) + 1
        is_open = placement.status in OPEN
        if balances.held(state, placement.payer, pot_reason(name)) != (placement.pot if is_open else 0):
            raise InvariantBroken(f"the pot of {placement} is not what is held")
        if placement.status in (DRAWING, PLACING) and (name, placement.status, placement.committees) not in waiting:
            raise InvariantBroken(f"{placement} waits for nothing")
        if placement.status == PLACING and placement.deadline <= now and not behind:
            raise InvariantBroken(f"{placement} has outlived its deadline")
    for account, holder in HOLDERS.items(state):
        if (holder.locked, holder.seats) != (locks.pop(account, 0), seats.pop(account, 0)):
            raise InvariantBroken(f"{holder} does not add up to its seats")
        if holder.locked > holder.bond or balances.held(state, account, HOLDER_REASON) != holder.bond:
            raise InvariantBroken(f"the bond of {holder} is not what is held")
        if account not in ROSTER.get(state):
            raise InvariantBroken(f"{holder} is not on the roster")
    if locks or len(ROSTER.get(state)) != sum(1 for _ in HOLDERS.keys(state)):
        raise InvariantBroken("somebody has a seat, or is on the roster, without being registered")
    _check_challenges(state, now, behind)


def _check_challenges(state: State, now: int, behind: bool) -> None:
    counts: dict[bytes, int] = {}
    for key, challenge in CHALLENGES.items(state):
        counts[key.placement] = counts.get(key.placement, 0) + 1
        if balances.held(state, challenge.challenger, challenge_reason(key)) != challenge.bond:
            raise InvariantBroken(f"the bond of {challenge} is not held")
        if challenge.deadline <= now and not behind:
            raise InvariantBroken(f"{challenge} has outlived its deadline")
    if counts != dict(CHALLENGED.items(state)):
        raise InvariantBroken("open challenges are wrongly counted")
