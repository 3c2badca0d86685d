"""How long a dispute gets: moves, bytes and chain time of whole games, by the size of the model and where the lie is.

Real games are played by the workers' own players on kernels, with one wrong number planted in the last step of a
segment. The longest way to be wrong is a *misread operand*: the arithmetic is then right everywhere, so that the game
goes on to the opening of a single operand. The count of moves follows from the widths of the trees alone; it is
computed for every model, and every game played must have exactly that many.
"""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from bench.models import Segment, Shape, build_segment, capture_step, describe_job
from bench.report import Progress, Report, Table, silent
from ml.artifacts import compute_state_root
from ml.dispute import Challenger, Defender
from ml.dispute.tracer import ElementRun
from ml.replay import State, StepRunner, replay
from ml.trace import ExecutorTracer, Fault, FaultyRunner, kept_values
from runtime.codec import encode
from runtime.commitments import chunk_count
from runtime.dispute.bounds import LEAF_MOVES, descent_moves, element_moves, maximum_moves
from runtime.dispute.game import apply_move, open_game, turn
from runtime.dispute.moves import Move, Party
from runtime.dispute.records import Game, Verdict
from runtime.vm.check import CheckedProgram
from runtime.vm.instructions import Address, Recipe
from runtime.vm.interpreter import evaluate, load_group
from runtime.vm.job import Claim, Job
from runtime.vm.recipes import element_recipe
from runtime.vm.types import read_element

SEGMENT_STEPS = 64
"""Steps of the segments that games are played about. Up to 4,095 the descent is the same."""
FLIP = 1 << 21
"""The bits in which a misread operand differs."""
TARGET_MOVES = 25
LARGE, LARGE_PLACES = 5_000_000, 4
"""Of models with so many parameters only a few games are played: each side replays the segment."""
SEARCHED = 24
"""Elements of a value that are tried."""

SHAPES = (
    Shape("80-8-4", (80, 8, 4), 8),
    Shape("784-128-64-10", (784, 128, 64, 10)),
    Shape("784-1024-256-10", (784, 1024, 256, 10)),
    Shape("784-2800-2800-10", (784, 2800, 2800, 10)),
    Shape("784-9600-9600-10", (784, 9600, 9600, 10)),
    Shape("7 x 4096-10", (4096,) * 7 + (10,)),
    Shape("7 x 4096-10, batch 1024", (4096,) * 7 + (10,), 1024),
)


# --- counting


def moves_to_value(checked: CheckedProgram, job: Job) -> int:
    """Moves from the opening to the first wrong value of the first wrong step."""
    return 2 + descent_moves(job.steps + 1) + descent_moves(checked.step_width)


def count_moves(checked: CheckedProgram, job: Job, step: int, value: int, element: int) -> int:
    """Moves of a game about a misread operand of that element."""
    groups = element_recipe(checked, job, step, value, element).groups
    to_group = 1 + descent_moves(groups + 1) if groups > 1 else 0
    to_element = descent_moves(chunk_count(checked.values[value].bytes)) + 2
    return moves_to_value(checked, job) + to_element + to_group + LEAF_MOVES


def count_pack_moves(checked: CheckedProgram, job: Job) -> int:
    """Moves of a game about a state that is not what its values are."""
    return moves_to_value(checked, job) + descent_moves(len(checked.state)) + 1


def longest_value(checked: CheckedProgram) -> int:
    """The value about which a game takes longest."""
    return max(range(len(checked.values)), key=lambda value: element_moves(checked, value))


# --- being wrong


class MisreadingRunner(FaultyRunner):
    """Computes one element of one step from operand number ``operand`` read wrongly. Mutable, as its base."""

    def __init__(self, honest: StepRunner, fault: Fault, operand: int) -> None:
        super().__init__(honest, fault.step, fault.value)
        self.fault, self.operand = fault, operand


def plant(segment: Segment, step: int, value: int, before: State) -> MisreadingRunner | None:
    """A runner that misreads an operand of ``value`` in ``step`` such that the state after it is another one.

    None where the value reads nothing, or nothing of it reaches the state. ``before`` is the state before the step.
    """
    honest = segment.runner.step(before, step)
    values, truth = kept_values(honest), compute_state_root(honest.state)

    def read(address: Address) -> int:
        return read_element(values[address.tensor], segment.checked.values[address.tensor].dtype, address.element)

    elements = segment.checked.values[value].elements
    for attempt in range(min(elements, SEARCHED)):
        element = (elements // 2 + 7919 * attempt) % elements
        found = find_misread(element_recipe(segment.checked, segment.job, step, value, element), read)
        if found is None:
            continue
        operand, bits = found
        runner = MisreadingRunner(segment.runner, Fault(step, value, element, 0, FLIP, bits), operand)
        if compute_state_root(runner.step(before, step).state) != truth:
            return runner
    return None


def misread(load: Callable[[Address], int], operand: int) -> Callable[[Address], int]:
    """A load whose ``operand``-th answer is wrong."""
    loads = count()
    return lambda address: load(address) ^ (FLIP if next(loads) == operand else 0)


def find_misread(recipe: Recipe, load: Callable[[Address], int]) -> tuple[int, int] | None:
    """The first operand that changes the element when it is misread, and what the element becomes."""
    honest = evaluate(recipe, load)[0]
    for operand in range(min(recipe.length, 8)):
        wrong = evaluate(recipe, misread(load, operand))[0]
        if wrong != honest:
            return operand, wrong.bits
    return None


class MisreadingTracer(ExecutorTracer):
    """Posts the operands that its runner believes it read."""

    runner: MisreadingRunner

    def run_element(self, step: int, value: int, element: int) -> ElementRun:
        fault = self.runner.fault
        assert fault is not None
        if (self.job.first_step + step - 1, value, element) != (fault.step, fault.value, fault.element):
            return super().run_element(step, value, element)
        recipe = self.recipe(step, value, element)
        load = misread(lambda address: self.load(step, address), self.runner.operand)
        registers, operands = [recipe.constants], []
        for group in range(1, recipe.groups + 1):
            result = load_group(recipe, group, registers[-1], load)
            registers.append(result.registers_after)
            operands.append(result.operands)
        return ElementRun(tuple(registers), tuple(operands))


class MispackingRunner(StepRunner):
    """Carries on another state after one step than it computed. Mutable, as its base."""

    def __init__(self, honest: StepRunner, step: int) -> None:
        super().__init__(honest.checked, honest.job, honest.inputs, executor=honest.executor)
        self.wrong_step = step

    def advance(self, number: int) -> dict[str, np.ndarray]:
        metrics = super().advance(number)
        if number == self.wrong_step:
            state = self.state()
            last = state[max(state)].reshape(-1)
            last[0] += 1.0
            self.load(state)
        return metrics


# --- playing


@dataclass(frozen=True)
class Played:
    """A finished game: the moves with their kinds, bytes, and the CPU seconds that the chain took for each."""

    model: str
    place: str
    expected: int
    kinds: tuple[str, ...]
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    total_seconds: float

    @property
    def moves(self) -> int:
        return len(self.kinds)


def play(model: str, place: str, expected: int, cheat: ExecutorTracer, honest: ExecutorTracer) -> Played:
    """Play a false claim out. The challenger must win, in exactly as many moves as expected."""
    start = time.perf_counter()
    claim = Claim(cheat.job, cheat.state_roots()[-1])
    players = {Party.DEFENDER: Defender(cheat).next_move, Party.CHALLENGER: Challenger(honest).next_move}
    game: Game | Verdict = open_game(claim)
    moves: list[Move] = []
    seconds: list[float] = []
    while not isinstance(game, Verdict):
        mover = turn(game)
        move = players[mover](game)
        assert move is not None, f"{place}: the {mover} has no move in {game.phase}"
        gc.disable()  # the players' memory is none of the chain's
        before = time.thread_time()
        game = apply_move(game, cheat.checked, move, mover)
        seconds.append(time.thread_time() - before)
        gc.enable()
        moves.append(move)
    total = time.perf_counter() - start
    assert game.winner is Party.CHALLENGER, f"{place}: the cheat won by {game.reason}"
    assert len(moves) == expected, f"{place}: {len(moves)} moves where the widths say {expected}"
    kinds, sizes = tuple(type(move).__name__ for move in moves), tuple(len(encode(move)) for move in moves)
    return Played(model, place, expected, kinds, sizes, tuple(seconds), total)


def play_model(shape: Shape, steps: int, places: int) -> list[Played]:
    """Games about the longest value, some other values, and the pack of the last step."""
    segment = build_segment(shape, steps)
    checked, job = segment.checked, segment.job
    last = job.first_step + job.steps - 1
    honest = ExecutorTracer(segment.runner, job, segment.start)
    before = replay(segment.runner, describe_prefix(job), segment.start) if job.steps > 1 else segment.start
    games = []
    for value in choose_values(checked, places):
        runner = plant(segment, last, value, before)
        if runner is None or runner.fault is None:
            continue
        node, _ = checked.producer(value)
        expected = count_moves(checked, job, last, value, runner.fault.element)
        place = f"{checked.program.nodes[node].op} {checked.values[value]}"
        games.append(play(shape.name, place, expected, MisreadingTracer(runner, job, segment.start), honest))
    packer = ExecutorTracer(MispackingRunner(segment.runner, last), job, segment.start)
    games.append(play(shape.name, "pack", count_pack_moves(checked, job), packer, honest))
    return games


def describe_prefix(job: Job) -> Job:
    """All steps of a job but the last."""
    fields = {name: getattr(job, name) for name in job.__struct_fields__}
    return Job(**{**fields, "steps": job.steps - 1})


def choose_values(checked: CheckedProgram, places: int) -> list[int]:
    """The longest value and, spread over the program, others that operators compute from values."""
    inputs = len(checked.program.inputs)

    def reads_values(value: int) -> bool:
        node, _ = checked.producer(value)
        return node >= 0 and bool(checked.program.nodes[node].inputs) and checked.values[value].dtype == "f32"

    able = [
        value
        for value in range(inputs, len(checked.values))
        if reads_values(value) and checked.program.nodes[checked.producer(value)[0]].op != "cast"
    ]
    longest = longest_value(checked)
    spread = able[:: max(1, len(able) // max(places - 1, 1))][: max(places - 1, 0)]
    return [longest, *(value for value in spread if value != longest)]


# --- reporting


def run(quick: bool = False, progress: Progress = silent, played: int = 0, places: int = 0) -> Report:
    """Play on the first ``played`` models at ``places`` values each, and count for all."""
    played, places = played or (2 if quick else 4), places or (6 if quick else 16)
    games: list[Played] = []
    for shape in SHAPES[:played]:
        progress(f"{shape.name}: playing")
        games += play_model(shape, SEGMENT_STEPS, places if shape.parameters < LARGE else min(places, LARGE_PLACES))
    progress("counting")
    counts = [count_model(shape) for shape in SHAPES]
    figures = {
        "segment_steps": SEGMENT_STEPS,
        "target_moves": TARGET_MOVES,
        "longest_moves": max(row["moves"] for row in counts),
        "models": counts,
        "games_played": len(games),
        "games": [_summary(game) for game in games],
        "move_kinds": _kinds(games),
    }
    remarks = (
        f"{len(games)} games played, each in exactly the moves that the tree widths say; the challenger won all.",
        f"Target: at most {TARGET_MOVES} moves for a step of 100 M parameters.",
    )
    return Report("disputes", figures, _tables(figures, games), remarks)


def count_model(shape: Shape) -> dict[str, Any]:
    """The longest possible game about a model, and where it is."""
    checked = capture_step(shape)
    job = describe_job(shape, checked, 1000)
    value = longest_value(checked)
    place = f"{checked.program.nodes[checked.producer(value)[0]].op} {checked.values[value]}"
    recipe = element_recipe(checked, job, 0, value, 0)
    moves = maximum_moves(checked, job)
    assert moves == count_moves(checked, job, 0, value, 0)
    return {
        "model": shape.name,
        "batch": shape.batch,
        "parameters": shape.parameters,
        "values": len(checked.values),
        "gas": checked.gas,
        "moves": moves,
        "longest_at": place,
        "operations_of_element": recipe.length,
    }


def _summary(game: Played) -> dict[str, Any]:
    return {
        "model": game.model,
        "place": game.place,
        "moves": game.moves,
        "bytes": sum(game.sizes),
        "largest_move_bytes": max(game.sizes),
        "chain_ms": round(1e3 * sum(game.seconds), 3),
        "slowest_move_ms": round(1e3 * max(game.seconds), 3),
        "seconds_with_players": round(game.total_seconds, 2),
    }


def _kinds(games: list[Played]) -> dict[str, dict[str, float]]:
    """Per kind of move: how many, mean and largest bytes, mean and largest chain time."""
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for game in games:
        for kind, size, seconds in zip(game.kinds, game.sizes, game.seconds, strict=True):
            found[kind].append((size, seconds))
    return {
        kind: {
            "count": len(rows),
            "bytes_max": max(size for size, _ in rows),
            "chain_us_mean": round(1e6 * sum(seconds for _, seconds in rows) / len(rows), 1),
            "chain_us_max": round(1e6 * max(seconds for _, seconds in rows), 1),
        }
        for kind, rows in sorted(found.items())
    }


def _tables(figures: dict[str, Any], games: list[Played]) -> tuple[Table, ...]:
    models = tuple(
        (row["model"], f"{row['parameters']:,}", f"{row['values']}", f"{row['moves']}", row["longest_at"])
        for row in figures["models"]
    )
    longest = {name: max((game for game in games if game.model == name), key=lambda game: game.moves) for name in
               dict.fromkeys(game.model for game in games)}  # fmt: skip
    rows = tuple(
        (
            name,
            game.place,
            f"{game.moves}",
            f"{sum(game.sizes):,}",
            f"{max(game.sizes):,}",
            f"{1e3 * sum(game.seconds):.1f}",
            f"{game.total_seconds:.1f}",
        )
        for name, game in longest.items()
    )
    kinds = tuple(
        (kind, f"{row['count']:.0f}", f"{row['bytes_max']:,.0f}", f"{row['chain_us_mean']:.0f}",
         f"{row['chain_us_max']:.0f}")
        for kind, row in figures["move_kinds"].items()
    )  # fmt: skip
    return (
        Table(
            "The longest possible dispute, segments of 1,000 steps",
            ("model", ">parameters", ">values of a step", ">moves", "longest at"),
            models,
        ),
        Table(
            "The longest game played of each model",
            ("model", "lie planted in", ">moves", ">bytes", ">largest move", ">chain ms", ">s with players"),
            rows,
        ),
        Table("Moves", ("kind", ">played", ">largest bytes", ">mean chain us", ">longest"), kinds),
    )
