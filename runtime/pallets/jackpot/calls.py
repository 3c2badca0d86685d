"""What whistleblowers and verifiers do about witnesses, and the pallet's invariants."""

from __future__ import annotations

from runtime.codec import U32, AccountId, Hash, Record, replace
from runtime.pallet import Context, InvariantBroken
from runtime.pallets import balances, disputes, proofs, system, tasks, treasury, workers
from runtime.pallets.jackpot.storage import (
    EMPTY,
    MAXIMUM_COMMITMENTS,
    PALLET,
    ROUNDS,
    Accusation,
    AlreadyCommitted,
    NotChallengeable,
    NotExposedYet,
    NotRevealing,
    RoleConflict,
    Round,
    RoundFull,
    RoundKey,
    Sealed,
    UnknownLeaf,
    WitnessCommitted,
    WitnessExposed,
    WitnessRevealed,
    WrongOpening,
)
from runtime.pallets.proofs.board import tell_jackpot
from runtime.pallets.proofs.storage import PASSED, REVEALING, WINDOW, Audit, Board, Proof
from runtime.pallets.proofs.witness import (
    forcing_commitment,
    inner_claim,
    is_forced,
    witness_root,
    witness_seal,
    witnessed_steps,
)
from runtime.pallets.tasks import Task
from runtime.state import State
from runtime.trees import hash_tagged
from runtime.weights import CALLS


class Commit(Record):
    """Commit to the witness that one finds in a verifier's segments: `commitment_of`."""

    task: Hash
    verifier: AccountId
    commitment: Hash


class Expose(Record):
    """A verifier's forcing secret, its other witness with the salt, and the state roots behind what it stands by."""

    task: Hash
    secret: Hash
    witness: Hash
    salt: Hash
    roots: tuple[Hash, ...]


class Reveal(Record):
    """Open a commitment. ``leaf`` is the first one in which the witness differs, where it does."""

    task: Hash
    verifier: AccountId
    witness: Hash
    salt: Hash
    leaf: U32


def commitment_of(task: bytes, verifier: bytes, witness: bytes, salt: bytes, account: bytes) -> bytes:
    """What hides a whistleblower's finding. Bound to the account: a copy opens nothing."""
    return hash_tagged(b"solvent:commit", account + task + verifier + witness + salt)


def bond_reason(key: RoundKey) -> bytes:
    """The reason under which the bond of a commitment about an audit is held."""
    return b"witness:" + key.task + key.attempt.to_bytes(4, "big") + key.place.to_bytes(4, "big")


@PALLET.call(weight=CALLS["jackpot.commit"])
def commit(ctx: Context, origin: AccountId, args: Commit) -> None:
    """Commit to a witness while the window is open, with a bond of more than the audit costs and a fee that is lost."""
    task, _, board = proofs.require_board(ctx.state, args.task)
    place, audit = _require_audit(board, args.verifier)
    if board.phase != WINDOW or ctx.finalized >= board.window or audit.proven:
        raise NotChallengeable(f"the board is {board.phase} until {board.window}, the audit {audit.status}")
    if origin in (task.submitter, task.solver) or proofs.find_audit(board, origin) is not None:
        raise RoleConflict("this account has another role on the task")
    key = RoundKey(args.task, board.attempt, place)
    found = ROUNDS.get(ctx.state, key) or EMPTY
    if any(one.account == origin for one in found.sealed):
        raise AlreadyCommitted(f"{origin.hex()} committed to a witness of this audit")
    if len(found.sealed) >= MAXIMUM_COMMITMENTS:
        raise RoundFull(f"{MAXIMUM_COMMITMENTS} have committed about this audit")
    market = workers.parameters(ctx.state)
    bond = market.witness_bond + audit.gas * task.spec.price_limit
    balances.transfer(ctx, origin, treasury.POT, market.witness_fee)
    balances.hold(ctx, origin, bond_reason(key), bond)
    made = Sealed(origin, args.commitment, bond, ctx.number)
    ROUNDS.put(ctx.state, key, replace(found, sealed=(*found.sealed, made)))
    ctx.deposit(WitnessCommitted(args.task, args.verifier, origin, bond, market.witness_fee))


def _exposure_weight(args: Expose) -> int:
    return CALLS["jackpot.expose"] + CALLS["proofs.register.checkpoint"] * len(args.roots)


@PALLET.call(weight=_exposure_weight)
def expose(ctx: Context, origin: AccountId, args: Expose) -> None:
    """Open the forcing secret and the other witness, once the window's end is final."""
    task, _, board = proofs.require_board(ctx.state, args.task)
    place, audit = _require_audit(board, origin)
    key = RoundKey(args.task, board.attempt, place)
    found = ROUNDS.get(ctx.state, key) or EMPTY
    if not _may_open(ctx, board) or found.exposed or audit.proven:
        raise NotRevealing(f"the board is {board.phase} until {board.window}")
    if forcing_commitment(args.secret, origin, args.task) != audit.forcing:
        raise WrongOpening("the secret is not the one committed to on acceptance")
    other = witness_seal(args.witness, args.salt, origin, args.task)
    if other not in audit.seals or args.witness == audit.witness:
        raise WrongOpening("witness and salt do not open the other seal")
    forced = is_forced(args.secret, audit.decider, workers.parameters(ctx.state).forced_rarity)
    claim = args.witness if forced else audit.witness
    wanted = len(witnessed_steps(task.spec, audit.segments))
    if len(args.roots) != wanted or witness_root(origin, args.roots) != claim:
        raise WrongOpening(f"{len(args.roots)} roots are not the {wanted} behind the witness that stands")
    exposed = replace(found, exposed=ctx.number, forced=forced, claim=claim, roots=args.roots)
    ROUNDS.put(ctx.state, key, exposed)
    ctx.deposit(WitnessExposed(args.task, origin, forced, claim))
    tell_jackpot(ctx, args.task, board, ctx.finalized)


@PALLET.call(weight=CALLS["jackpot.reveal"])
def reveal(ctx: Context, origin: AccountId, args: Reveal) -> None:
    """Open a commitment: a forced error was found, or the verifier's claim is disputed at the leaf that differs."""
    task, proof, board = proofs.require_board(ctx.state, args.task)
    place, audit = _require_audit(board, args.verifier)
    key = RoundKey(args.task, board.attempt, place)
    found = ROUNDS.get(ctx.state, key) or EMPTY
    if not _may_open(ctx, board):
        raise NotRevealing(f"the board is {board.phase} until {board.window}")
    if not found.exposed:
        raise NotExposedYet("if the verifier lets its time pass, the commitment wins without being opened")
    mine = [one for one in found.sealed if one.account == origin]
    if not mine or commitment_of(args.task, args.verifier, args.witness, args.salt, origin) != mine[0].commitment:
        raise WrongOpening("witness and salt are not what this account committed to")
    balances.release(ctx, origin, bond_reason(key), mine[0].bond)
    found = replace(found, sealed=tuple(one for one in found.sealed if one != mine[0]))
    agrees = args.witness == found.claim
    ctx.deposit(WitnessRevealed(args.task, args.verifier, origin, agrees))
    if not agrees and not found.correct:
        accusation = _accuse(ctx, origin, args, task, proof, audit, found, mine[0].block)
        found = replace(found, accusations=(*found.accusations, accusation))
    elif agrees and found.forced and mine[0].block < found.exposed:
        found = replace(found, winners=(*found.winners, origin))
    ROUNDS.put(ctx.state, key, found)
    tell_jackpot(ctx, args.task, board, ctx.finalized)


def _accuse(
    ctx: Context, who: bytes, args: Reveal, task: Task, proof: Proof, audit: Audit, found: Round, committed: int
) -> Accusation:
    if args.leaf >= len(found.roots):
        raise UnknownLeaf(f"leaf {args.leaf} of {len(found.roots)}")
    root = found.roots[args.leaf]
    segment, claim = inner_claim(task.spec, proof.checkpoints, audit.segments, args.leaf, root)
    kind = disputes.WITNESS
    number = disputes.start(ctx, args.task, kind, segment, claim, who, args.verifier, committed)
    return Accusation(who, args.witness, number)


def _require_audit(board: Board, verifier: bytes) -> tuple[int, Audit]:
    place = proofs.find_audit(board, verifier)
    if place is None or board.audits[place].status != PASSED:
        raise NotChallengeable(f"{verifier.hex()} has passed nothing here")
    return place, board.audits[place]


def _may_open(ctx: Context, board: Board) -> bool:
    return board.phase == REVEALING and ctx.finalized < board.window


@PALLET.check
def check(state: State) -> None:
    """Every commitment holds its bond, and every round belongs to a live board or is about to be cleared."""
    waiting = {(item.task, item.attempt) for _, item in proofs.REVELATIONS.pending(state)}
    for key, found in ROUNDS.items(state):
        for one in found.sealed:
            if balances.held(state, one.account, bond_reason(key)) != one.bond:
                raise InvariantBroken(f"a commitment about {key} holds no bond")
        board = proofs.AUDITS.get(state, key.task)
        live = board is not None and board.attempt == key.attempt and proofs.is_live(board)
        if not live and (key.task, key.attempt) not in waiting:
            raise InvariantBroken(f"nobody will clear the round of {key}")
    now = system.finalized(state, system.NUMBER.get(state) - 1)
    for name, board in proofs.AUDITS.items(state):
        if board.phase != REVEALING or (name, board.attempt) in waiting:
            continue
        rounds = [ROUNDS.get(state, RoundKey(name, board.attempt, place)) for place in range(len(board.audits))]
        if board.window <= now and not any(found and found.accusations for found in rounds):
            raise InvariantBroken(f"nobody ends the revealing of task {name.hex()}")
        tasks.require_task(state, name)
