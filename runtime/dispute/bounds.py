"""How long a dispute can get, and how much of it waits for a replay: both follow from the program and the job alone."""

from __future__ import annotations

from runtime.commitments import chunk_count
from runtime.dispute.moves import Phase
from runtime.dispute.records import Game
from runtime.trees import FAN_LEVELS, depth_of
from runtime.vm.check import CheckedProgram
from runtime.vm.gas import BYTE_OVERHEAD, step_time
from runtime.vm.instructions import GROUP
from runtime.vm.job import Job
from runtime.vm.operators import OPERATORS

LEAF_MOVES = 3
"""Post a group, select an operand, open it."""

INTERPRETED_OPERATION = 10_000
"""Scalar operations of a kernel that take as long as one of the interpreter."""


def descent_moves(width: int) -> int:
    """Reveals and selections from the root of a tree of that width to a leaf."""
    return 2 * -(-depth_of(width) // FAN_LEVELS)


def maximum_moves(checked: CheckedProgram, job: Job) -> int:
    """The most moves that any dispute of a job can take, by both sides together."""
    to_state = 1 + descent_moves(job.steps + 1)
    to_value = 1 + descent_moves(checked.step_width)
    in_pack = descent_moves(len(checked.state)) + 1
    in_values = [element_moves(checked, value) for value in range(len(checked.values))]
    return to_state + to_value + max([in_pack, *in_values])


def element_moves(checked: CheckedProgram, value: int) -> int:
    """The most moves from a disputed value to the end."""
    to_element = descent_moves(chunk_count(checked.values[value].bytes)) + 2
    groups = _longest_recipe(checked, value)
    to_group = 1 + descent_moves(groups + 1) if groups > 1 else 0
    return to_element + to_group + LEAF_MOVES


def _longest_recipe(checked: CheckedProgram, value: int) -> int:
    """Groups of the longest recipe of a value. Inputs are single moves."""
    node, output = checked.producer(value)
    if node < 0:
        return 1
    operator = OPERATORS[checked.program.nodes[node].op]
    return operator.groups(checked.application(node), output)


def replay_gas(checked: CheckedProgram, game: Game) -> int:
    """Scalar operations that a party must replay before it can take part in what follows a root; 0 between roots.

    The states of a segment need all of its steps, and the values of one step all steps before it.
    """
    if game.phase is Phase.SEGMENT_ROOT:
        return checked.gas * game.claim.job.steps
    if game.phase is Phase.STEP_ROOT:
        return checked.gas * game.step
    return 0


def replay_time(checked: CheckedProgram, game: Game) -> int:
    """How long that replay takes, in scalar operations, with everything hashed that the root is over. The trace of one
    element is interpreted, operation by operation."""
    if game.phase is Phase.SEGMENT_ROOT:
        return step_time(checked) * game.claim.job.steps
    if game.phase is Phase.STEP_ROOT:
        values = sum(kind.bytes for kind in checked.values)
        return step_time(checked) * game.step + BYTE_OVERHEAD * values
    if game.phase is Phase.TRACE_ROOT:
        return INTERPRETED_OPERATION * GROUP * _longest_recipe(checked, game.value)
    return 0
