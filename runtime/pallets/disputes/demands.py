"""Demands: whoever cannot get the state that a segment starts from makes the solver place it, or lose.

Any segment's start may be *demanded* while its proof is at stake. The solver answers with the roots of the state's
tensors, which must hash to the registered checkpoint, so that nothing but this very state can be placed; a committee of
holders then fetches the tensors and signs (`runtime.pallets.blobs`). No answer in time, or no committee that could get
what was promised, is silence: the solver loses the proof and its lock, as in a dispute.

Who pays the holders: the solver, where a verifier demands a segment that it drew, since nobody can replay without; any
other demander, where the solver delivers, so that demanding for nothing costs whoever does it.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.codec import U32, AccountId, Hash, Record, encode, replace
from runtime.commitments import state_tree, tensor_bytes
from runtime.pallet import Context, InvariantBroken
from runtime.pallets import balances, blobs, proofs, tasks
from runtime.pallets.disputes.claimants import first_listed
from runtime.pallets.disputes.lines import dissolve
from runtime.pallets.disputes.outcome import cancel_portion
from runtime.pallets.disputes.storage import (
    DEMAND_DUES,
    DEMANDS,
    DISPUTES,
    PALLET,
    AlreadyDemanded,
    Demand,
    DemandDue,
    DemandKey,
    Disputed,
    NotDemanded,
    StateDelivered,
    StateDemanded,
    StateWithheld,
    WrongState,
)
from runtime.pallets.tasks import TaskSpec
from runtime.state import State
from runtime.trees import hash_tagged
from runtime.weights import CALLS

BEACON_BLOCKS = 64
"""Time allowed for the draw of a committee, whose beacon must become final first."""
LOOK_BLOCKS = 4
"""Between two looks at a placement that is under way."""


class DemandState(Record):
    """Ask for the state that ``segment`` starts from. A verifier that drew the segment opens its ``secret``; for
    anybody else it is empty."""

    task: Hash
    segment: U32
    secret: bytes


class PlaceState(Record):
    """The solver's answer: the tensor roots of the state, sorted by the tensors' names."""

    task: Hash
    segment: U32
    tensors: tuple[Hash, ...]


def placement_name(key: DemandKey, attempt: int, number: int) -> bytes:
    """The name of the placement of a state, another one for each time that it is demanded."""
    return hash_tagged(b"solvent:demanded", encode((key.task, key.segment, attempt, number)))


@PALLET.call(weight=CALLS["disputes.demand_state"])
def demand_state(ctx: Context, origin: AccountId, args: DemandState) -> None:
    """Demand a state; where nobody who drew it does, the pay of its holders is held until it is placed."""
    if not blobs.is_on(ctx.state):
        raise blobs.AvailabilityOff("nobody has to place anything on this network")
    blobs.require_holders(ctx.state)
    key, figures = DemandKey(args.task, args.segment), blobs.parameters(ctx.state)
    task = tasks.require_task(ctx.state, args.task)
    before = DEMANDS.get(ctx.state, key)
    if before is not None and before.attempt == task.attempt:
        if before.open or blobs.status(ctx.state, before.placement) != blobs.LOST:
            raise AlreadyDemanded(f"segment {args.segment} was demanded, by {before.demander.hex()}")
    elif before is not None and before.open:
        _forget_void(ctx, key, before)
    sizes = state_items(ctx, task.spec, None)
    committees = blobs.COMMITTEES * (blobs.compute_time(ctx.state, sizes) + BEACON_BLOCKS)
    extra = figures.answer_blocks + committees + LOOK_BLOCKS
    _, _, is_audit = proofs.on_state_demanded(ctx, args.task, args.segment, origin, args.secret, extra)
    number = before.number + 1 if before is not None else 0
    name = placement_name(key, task.attempt, number)
    if not is_audit:
        balances.hold(ctx, origin, blobs.pot_reason(name), blobs.compute_pot(ctx.state, sizes))
    deadline = ctx.finalized + figures.answer_blocks
    DEMANDS.put(ctx.state, key, Demand(task.attempt, number, origin, is_audit, name, False, True))
    DEMAND_DUES.schedule(ctx.state, deadline, DemandDue(key, name))
    ctx.deposit(StateDemanded(args.task, args.segment, origin, is_audit, deadline))


def _weigh_place(args: PlaceState) -> int:
    return CALLS["disputes.place_state"] + CALLS["disputes.place_state.tensor"] * len(args.tensors)


def _may_place(state: State, origin: bytes, args: PlaceState) -> bool:
    """Whether an answer may use the reserved share of a block: the solver's, to a demand that waits for it."""
    task, demand = tasks.TASKS.get(state, args.task), DEMANDS.get(state, DemandKey(args.task, args.segment))
    return task is not None and origin == task.solver and demand is not None and demand.open and not demand.answered


@PALLET.call(weight=_weigh_place, operational=_may_place)
def place_state(ctx: Context, origin: AccountId, args: PlaceState) -> None:
    """Answer a demand: the state goes to a committee."""
    task, proof, _ = proofs.require_board(ctx.state, args.task)
    tasks.require_solver(task, origin)
    key = DemandKey(args.task, args.segment)
    demand = DEMANDS.get(ctx.state, key)
    if demand is None or demand.attempt != task.attempt or demand.answered or not demand.open:
        raise NotDemanded(f"nobody waits for the state before segment {args.segment}")
    items = state_items(ctx, task.spec, args.tensors)
    if _state_root(ctx, task.spec, args.tensors) != proof.checkpoints[args.segment - 1]:
        raise WrongState(f"these tensors are not those of the checkpoint before segment {args.segment}")
    payer = origin if demand.by_verifier else demand.demander
    blobs.open_placement(ctx, demand.placement, payer, items, pot_is_held=not demand.by_verifier)
    proofs.note_placed_state(ctx, args.task, demand.placement)
    DEMANDS.put(ctx.state, key, replace(demand, answered=True))
    DEMAND_DUES.schedule(ctx.state, ctx.finalized + LOOK_BLOCKS, DemandDue(key, demand.placement))


def state_items(ctx: Context, spec: TaskSpec, roots: Sequence[bytes] | None) -> tuple[blobs.Item, ...]:
    """The tensors of a task's state as items of a placement, sorted by name; zero roots while only sizes matter.

    Raises `WrongState` where the number of roots is another one.
    """
    entries = sorted(tasks.checked_program(ctx, spec.program).state)
    if roots is not None and len(roots) != len(entries):
        raise WrongState(f"{len(roots)} tensors; the state has {len(entries)}")
    given = roots if roots is not None else (bytes(32),) * len(entries)
    sizes = (tensor_bytes(kind.dtype, kind.shape) for _, _, kind in entries)
    return tuple(blobs.Item(root, size) for root, size in zip(given, sizes, strict=True))


def _state_root(ctx: Context, spec: TaskSpec, roots: Sequence[bytes]) -> bytes:
    entries = sorted(tasks.checked_program(ctx, spec.program).state)
    named = ((name, kind.dtype, kind.shape, root) for (name, _, kind), root in zip(entries, roots, strict=True))
    return state_tree(named).root


@PALLET.on_initialize
def process_demands(ctx: Context) -> None:
    """Look at the demands that are due: answered ones at their placement, the others have been met with silence."""
    figures = blobs.parameters(ctx.state)
    for due in DEMAND_DUES.drain(ctx, figures.deadlines_per_block, figures.deadline_weight):
        ctx.consume(CALLS["disputes.timeout"])
        demand = DEMANDS.get(ctx.state, due.key)
        if demand is None or demand.placement != due.placement or not demand.open:
            continue
        task = tasks.require_task(ctx.state, due.key.task)
        board = proofs.AUDITS.get(ctx.state, due.key.task)
        if board is None or board.attempt != demand.attempt or not proofs.is_live(board):
            _forget_void(ctx, due.key, demand)
            continue
        found = blobs.status(ctx.state, demand.placement)
        if not demand.answered or found == blobs.FAILED:
            _withheld(ctx, due.key, demand, task.solver)
        elif found in (blobs.PLACED, blobs.LOST):
            _end(ctx, due.key, demand)
            proofs.on_dispute_cancelled(ctx, due.key.task, due.key.segment, demand.demander)
            ctx.deposit(StateDelivered(due.key.task, due.key.segment, demand.placement))
        else:
            DEMAND_DUES.schedule(ctx.state, ctx.finalized + LOOK_BLOCKS, due)


def _end(ctx: Context, key: DemandKey, demand: Demand) -> None:
    """Close a demand; a pot that no placement took goes back."""
    DEMANDS.put(ctx.state, key, replace(demand, open=False))
    if not demand.answered:
        reason = blobs.pot_reason(demand.placement)
        balances.release(ctx, demand.demander, reason, balances.held(ctx.state, demand.demander, reason))


def _forget_void(ctx: Context, key: DemandKey, demand: Demand) -> None:
    """Close a demand about a proof that is void for another reason."""
    _end(ctx, key, demand)
    proofs.on_proof_voided(ctx, key.task, key.segment, demand.demander)


def _withheld(ctx: Context, key: DemandKey, demand: Demand, solver: bytes) -> None:
    """The solver loses its proof, as by silence in a dispute; the disputes about it become pointless. Who committed to
    a challenge of the segment is rewarded first, so that no solver can lose quickly to a friend's demand."""
    _end(ctx, key, demand)
    number = first_listed(ctx.state, Disputed(key.task, demand.attempt, key.segment))
    dispute = DISPUTES.get(ctx.state, number) if number is not None else None
    rewarded = dispute.challenger if dispute is not None else demand.demander
    where = (key.task, key.segment, demand.demander)
    reward = proofs.on_challenger_won(ctx, *where, rewarded, by_silence=True)
    ctx.deposit(StateWithheld(key.task, key.segment, solver, demand.demander, rewarded, reward))
    cancel_portion(ctx, dissolve(ctx.state, key.task))


@PALLET.check
def check_demands(state: State) -> None:
    """Every open demand is waited for."""
    waiting = {(due.key, due.placement) for _, due in DEMAND_DUES.pending(state)}
    for key, demand in DEMANDS.items(state):
        if demand.open and (key, demand.placement) not in waiting:
            raise InvariantBroken(f"nobody waits for {demand}")
