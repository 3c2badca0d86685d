"""How a dispute begins: whoever found a false claim commits to it first, and reveals it once the commitment is final.

A *commitment* is the hash of the segment, a salt and the challenger's account. It says nothing to others, and copied it
opens nothing. So nobody can see a challenge in the pool and be there before it: the reward for a false claim goes to
the earliest commitment to it (`claimants`), whoever plays the game to its end. A commitment holds the bond of a dispute
and must be revealed in time, else the bond is lost. It keeps the task from settling meanwhile. Verifiers need none:
they were drawn for their segments, and their own verdict names those that failed.
"""

from __future__ import annotations

from runtime.codec import U32, U63, AccountId, Hash, Record
from runtime.dispute.game import open_game, turn
from runtime.market_parameters import parts_of
from runtime.pallet import Context, InvariantBroken
from runtime.pallets import balances, proofs, tasks, treasury
from runtime.pallets.disputes.claimants import add_claimant
from runtime.pallets.disputes.clocks import due_gas, put_waiting, replay_blocks
from runtime.pallets.disputes.lines import join
from runtime.pallets.disputes.storage import (
    COMMITMENTS,
    DISPUTES,
    NEXT,
    NEXT_COMMITMENT,
    OPEN,
    PALLET,
    PROOF,
    REVELATIONS,
    Commitment,
    CommitmentEnded,
    CommitmentMade,
    DefendsItself,
    Dispute,
    DisputeOpened,
    NotFinalYet,
    NotRevealed,
    UnknownCommitment,
    WrongRevelation,
    bond_reason,
    commitment_reason,
    parameters,
)
from runtime.state import State
from runtime.trees import hash_tagged
from runtime.vm.job import Claim
from runtime.weights import CALLS


class Commit(Record):
    """Commit to a challenge of the proof of ``task``: `commitment_of` the segment, a salt and the own account."""

    task: Hash
    commitment: Hash


class Reveal(Record):
    """Open the dispute that commitment ``number`` of this account hides."""

    number: U63
    segment: U32
    salt: Hash


class Open(Record):
    """Dispute a segment that this account's own verdict failed."""

    task: Hash
    segment: U32


def commitment_of(task: bytes, segment: int, salt: bytes, challenger: bytes) -> bytes:
    """What a challenger posts before anybody may know which segment it disputes."""
    return hash_tagged(b"solvent:commit", challenger + task + segment.to_bytes(4, "big") + salt)


def is_at_stake(state: State, task: bytes, who: bytes) -> bool:
    """Whether an opening may use the reserved share of a block: from somebody with a bond, about a proof at stake."""
    board = proofs.AUDITS.get(state, task)
    at_stake = board is not None and proofs.is_live(board)
    return at_stake and balances.spendable(state, who) >= parameters(state).bond


def may_commit(state: State, origin: bytes, args: Commit) -> bool:
    return is_at_stake(state, args.task, origin)


def may_open(state: State, origin: bytes, args: Open) -> bool:
    return is_at_stake(state, args.task, origin)


def may_reveal(state: State, origin: bytes, args: Reveal) -> bool:
    """Whether a revelation may use that share: its bond is held already."""
    found = COMMITMENTS.get(state, args.number)
    return found is not None and found.challenger == origin


@PALLET.call(weight=CALLS["disputes.commit"], operational=may_commit)
def commit(ctx: Context, origin: AccountId, args: Commit) -> None:
    """Commit to a challenge: hold the bond that the longest segment's dispute takes."""
    task, board = proofs.on_commitment(ctx, args.task, origin)
    number, limits = NEXT_COMMITMENT.get(ctx.state), parameters(ctx.state)
    longest = max(tasks.replayed_gas(task.spec, task.estimate, (segment,)) for segment in (0, 1))
    bond = limits.bond + parts_of(task.price * longest, limits.replay_share)
    balances.hold(ctx, origin, commitment_reason(number), bond)
    deadline = ctx.finalized + limits.reveal_blocks
    made = Commitment(args.task, board.attempt, origin, args.commitment, bond, ctx.number, deadline)
    COMMITMENTS.put(ctx.state, number, made)
    NEXT_COMMITMENT.put(ctx.state, number + 1)
    REVELATIONS.schedule(ctx.state, deadline, NotRevealed(number))
    ctx.deposit(CommitmentMade(number, args.task, origin, bond, deadline))


@PALLET.call(weight=CALLS["disputes.reveal"], operational=may_reveal)
def reveal(ctx: Context, origin: AccountId, args: Reveal) -> None:
    """Open the dispute that was committed to, once no fork can undo the commitment any more."""
    found = COMMITMENTS.get(ctx.state, args.number)
    if found is None or found.challenger != origin:
        raise UnknownCommitment(f"commitment {args.number} is not one of {origin.hex()}")
    if found.block > ctx.finalized:
        raise NotFinalYet(f"the commitment is in block {found.block}; {ctx.finalized} is final")
    if commitment_of(found.task, args.segment, args.salt, origin) != found.commitment:
        raise WrongRevelation(f"segment {args.segment} with that salt is not what was committed to")
    _end(ctx, args.number, found, "revealed")
    claim = proofs.on_dispute_opened(ctx, found.task, args.segment, origin, committed=True)
    begin(ctx, found.task, args.segment, claim, origin, found.block)


@PALLET.call(weight=CALLS["disputes.open"], operational=may_open, name="open")
def call_open(ctx: Context, origin: AccountId, args: Open) -> None:
    """Follow up a failed verdict; everybody else commits first."""
    if origin == tasks.require_task(ctx.state, args.task).solver:
        raise DefendsItself(f"{origin.hex()} made the claim")
    committed = proofs.verdict_block(ctx.state, args.task, origin)
    claim = proofs.on_dispute_opened(ctx, args.task, args.segment, origin)
    begin(ctx, args.task, args.segment, claim, origin, committed)


def begin(ctx: Context, name: bytes, segment: int, claim: Claim, challenger: bytes, committed: int) -> int:
    """Start a dispute of a claim of the task's solver. Returns its number.

    ``committed`` is the block in which the challenger committed to it.
    """
    defender = tasks.require_task(ctx.state, name).solver
    number = start(ctx, name, PROOF, segment, claim, challenger, defender, committed)
    dispute = DISPUTES.get(ctx.state, number)
    assert dispute is not None
    add_claimant(ctx.state, dispute, number)
    return number


def start(
    ctx: Context,
    name: bytes,
    kind: str,
    segment: int,
    claim: Claim,
    challenger: bytes,
    defender: bytes,
    committed: int,
) -> int:
    """Start a dispute of any kind of claim: hold the bond, start the defender's clock. Returns its number."""
    task, limits, game = tasks.require_task(ctx.state, name), parameters(ctx.state), open_game(claim)
    number = NEXT.get(ctx.state)
    bond = limits.bond + parts_of(task.price * due_gas(ctx, game), limits.replay_share)
    balances.hold(ctx, challenger, bond_reason(number), bond)
    blocks = limits.clock_blocks + replay_blocks(ctx, game)
    dispute = Dispute(
        task=name,
        attempt=task.attempt,
        kind=kind,
        segment=segment,
        challenger=challenger,
        defender=defender,
        bond=bond,
        status=OPEN,
        committed=committed,
        opened=ctx.number,
        moves=0,
        waits_for=turn(game),
        defender_blocks=blocks,
        challenger_blocks=blocks,
        since=ctx.finalized,
        deadline=ctx.finalized + blocks,
        ended=0,
        rewarded=b"",
        reward=0,
    )
    NEXT.put(ctx.state, number + 1)
    join(ctx.state, name, task.attempt, number)
    put_waiting(ctx.state, number, dispute, game)
    ctx.deposit(DisputeOpened(number, name, segment, challenger, defender, bond, ctx.finalized + blocks))
    return number


@PALLET.on_initialize
def process_commitments(ctx: Context) -> None:
    """End the commitments that nobody revealed in time: the treasury has the bond, unless the proof is gone anyway."""
    for item in REVELATIONS.take_due(ctx.state, ctx.finalized, parameters(ctx.state).timeouts_per_block):
        found = COMMITMENTS.get(ctx.state, item.number)
        if found is not None:
            ctx.consume(CALLS["disputes.commit"])
            board = proofs.AUDITS.get(ctx.state, found.task)
            stands = board is not None and board.attempt == found.attempt and proofs.is_live(board)
            _end(ctx, item.number, found, "forfeited" if stands else "returned")


def _end(ctx: Context, number: int, found: Commitment, how: str) -> None:
    COMMITMENTS.delete(ctx.state, number)
    reason = commitment_reason(number)
    if how == "forfeited":
        balances.move_held(ctx, found.challenger, reason, treasury.ACCOUNT, found.bond)
    else:
        balances.release(ctx, found.challenger, reason, found.bond)
    ctx.deposit(CommitmentEnded(number, found.task, found.challenger, how, found.bond))
    proofs.on_commitment_ended(ctx, found.task, found.attempt)


@PALLET.check
def check_commitments(state: State) -> None:
    """Every commitment holds its bond, has a deadline, and is counted by the board that it concerns."""
    waiting = {item.number for _, item in REVELATIONS.pending(state)}
    counts: dict[tuple[bytes, int], int] = {}
    for number, found in COMMITMENTS.items(state):
        if balances.held(state, found.challenger, commitment_reason(number)) != found.bond or number not in waiting:
            raise InvariantBroken(f"commitment {number} has no bond or no deadline")
        counts[(found.task, found.attempt)] = counts.get((found.task, found.attempt), 0) + 1
    for name, board in proofs.AUDITS.items(state):
        if proofs.is_live(board) and board.commitments != counts.get((name, board.attempt), 0):
            raise InvariantBroken(f"task {name.hex()} counts {board.commitments} commitments")
