"""Worst cases of every kind of move: whole games over a wide step, played once, then each position weighed alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench import fat_task as fat
from bench.weighing import FINALIZED, NUMBER, Action, Case, World, account, call, give_held
from ml.dispute import Challenger, Defender
from ml.dispute.reference import Fault, ReferenceTracer, WrongOperand, WrongPack, WrongResult
from runtime.codec import encode
from runtime.dispute.game import apply_move, open_game, turn
from runtime.dispute.moves import Move, Party
from runtime.dispute.records import Game, Verdict
from runtime.pallet import Context
from runtime.pallets import disputes, proofs, tasks
from runtime.pallets.disputes.lines import join
from runtime.pallets.disputes.outcome import process_cancellations
from runtime.pallets.disputes.storage import CANCELLATIONS, TIMEOUTS, Pointless, Timeout
from runtime.parameters import TOKEN
from runtime.state import State
from runtime.vm.job import Claim

PADDING = 2_000
"""Nodes that make the step as wide as programs get that a block has room for."""
OTHERS = 64
"""Other disputes about the task; a verdict cancels sixteen of them at once."""
SEGMENT = 1
DISPUTE_BOND = 10 * TOKEN
PRODUCT, LOG_TOTAL = 1, 3
"""Values of the step whose elements take several groups: fused products, and exponentials."""

FAULTS: dict[str, Fault] = {
    "product": WrongOperand(step=fat.INTERVAL, value=PRODUCT, element=0, operand=400, flip=1 << 30),
    "exponential": WrongOperand(step=fat.INTERVAL, value=LOG_TOTAL, element=0, operand=300, flip=1 << 22),
    "result": WrongResult(step=fat.INTERVAL, value=LOG_TOTAL, element=0, flip=1 << 22),
    "pack": WrongPack(step=fat.INTERVAL, tensor=0, element=0),
}


@dataclass(frozen=True)
class Position:
    """A game before one of its moves, and that move. ``decides``: it leads to the verdict."""

    game: Game
    move: Move
    mover: Party
    number: int
    decides: bool


def replay(fault: Fault | None = None) -> ReferenceTracer:
    """A segment of the wide program, computed by the interpreter."""
    program = fat.checked(fat.wide_program(PADDING))
    return ReferenceTracer(program, *fat.fat_job(program.program), fault)


def play_positions(cheat: ReferenceTracer, honest: ReferenceTracer) -> list[Position]:
    """A whole game against a faulty defender, move by move."""
    players = {Party.DEFENDER: Defender(cheat).next_move, Party.CHALLENGER: Challenger(honest).next_move}
    game: Game | Verdict = open_game(Claim(cheat.job, cheat.state_roots()[-1]))
    positions: list[Position] = []
    while not isinstance(game, Verdict):
        mover = turn(game)
        move = players[mover](game)
        assert move is not None
        after = apply_move(game, cheat.checked, move, mover)
        positions.append(Position(game, move, mover, len(positions), isinstance(after, Verdict)))
        game = after
    assert game.winner is Party.CHALLENGER
    return positions


def heaviest_positions() -> dict[str, Position]:
    """Of each kind of move the longest one that goes on, and of each kind that decides, one: ``Kind`` and ``Kind!``."""
    found: dict[str, Position] = {}
    honest = replay()
    for name, fault in FAULTS.items():
        for position in play_positions(replay(fault), honest):
            kind = type(position.move).__name__ + ("!" if position.decides else "")
            if kind == "PostGroup":
                found[f"{kind} {name}"] = position
            elif kind not in found or len(encode(position.move)) > len(encode(found[kind].move)):
                found[kind] = position
    return found


def moves(world: World) -> Iterator[Case]:
    """``disputes.play.*``: each kind of move, a verdict's consequences included."""
    name = put_disputed_task(world)
    for number, (kind, position) in enumerate(heaviest_positions().items(), 1):
        world.write(lambda state, number=number, position=position: put_dispute(  # type: ignore[misc]
            state, name, number, position))  # fmt: skip
        mover = fat.SOLVER if position.mover is Party.DEFENDER else fat.CHALLENGER
        yield Case(f"disputes.play.{kind}", call(mover, disputes.Play(number, position.number, position.move)))
    yield Case("disputes.timeout", silence(1))
    yield Case("disputes.cancellations", cancel_portion(name))


def put_disputed_task(world: World) -> bytes:
    """A disputed task whose eight verifiers have all passed the wrong segment, and the other disputes about it."""
    found = list[bytes]()
    program = fat.wide_program(PADDING)
    world.write(lambda state: found.append(fat.put_task(state, program, "disputed", 70)))
    world.write(lambda state: fat.put_board(state, found[0], "auditing", ("passed",) * 8))

    def add_disputes(state: State) -> None:
        board = proofs.AUDITS.get(state, found[0])
        assert board is not None
        fields = {field: getattr(board, field) for field in board.__struct_fields__}
        proofs.AUDITS.put(state, found[0], proofs.Board(**{**fields, "disputes": OTHERS + 20}))
        game = open_game(proofs.segment_claim(*_claimed(state, found[0])))
        for number in range(1000, 1000 + OTHERS):
            put_record(state, found[0], number, account(number), game, 0)

    world.write(add_disputes)
    return found[0]


def _claimed(state: State, name: bytes) -> tuple[tasks.TaskSpec, proofs.Proof, int]:
    proof = proofs.PROOFS.get(state, name)
    assert proof is not None
    return tasks.require_task(state, name).spec, proof, SEGMENT


def put_dispute(state: State, name: bytes, number: int, position: Position) -> None:
    """A dispute by the challenger that stands at a position."""
    put_record(state, name, number, fat.CHALLENGER, position.game, position.number)


def put_record(state: State, name: bytes, number: int, challenger: bytes, game: Game, played: int) -> None:
    dispute = disputes.Dispute(
        task=name,
        attempt=1,
        kind=disputes.PROOF,
        segment=SEGMENT,
        challenger=challenger,
        defender=fat.SOLVER,
        bond=DISPUTE_BOND,
        status="open",
        committed=NUMBER - 11,
        opened=NUMBER - 40,
        moves=played,
        waits_for=turn(game),
        defender_blocks=600,
        challenger_blocks=600,
        since=FINALIZED - 1,
        deadline=FINALIZED + 600,
        ended=0,
        rewarded=b"",
        reward=0,
    )
    disputes.DISPUTES.put(state, number, dispute)
    disputes.GAMES.put(state, number, game)
    join(state, name, 1, number)
    proofs.DISPUTES.put(state, proofs.DisputeKey(name, SEGMENT, challenger), 1)
    give_held(state, challenger, 10**6 * TOKEN, {disputes.bond_reason(number): DISPUTE_BOND})


def silence(number: int) -> Action:
    """The hook with one empty clock, the defender's: it loses, as by a verdict."""

    def run(ctx: Context) -> None:
        dispute = disputes.DISPUTES.get(ctx.state, number)
        assert dispute is not None
        TIMEOUTS.cursor.put(ctx.state, type(TIMEOUTS.cursor.default)(ctx.finalized, 0))
        TIMEOUTS.schedule(ctx.state, ctx.finalized, Timeout(number, dispute.moves))
        disputes.process_timeouts(ctx)
        assert disputes.VERDICTS.contains(ctx.state, number)

    return run


def cancel_portion(name: bytes) -> Action:
    """The hook with one portion of pointless disputes."""

    def run(ctx: Context) -> None:
        CANCELLATIONS.cursor.put(ctx.state, type(CANCELLATIONS.cursor.default)(ctx.number, 0))
        CANCELLATIONS.schedule(ctx.state, ctx.number, Pointless(1000))
        process_cancellations(ctx)
        assert not disputes.GAMES.contains(ctx.state, 1000)

    return run
