"""What a player needs from a replay, and the trees it builds over it.

A `Tracer` answers for one segment: steps are counted from 1 within the job, state 0 is the start. Only what a game
asks for is ever computed: the states' roots first, then the values of one step, then the registers of one element.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from runtime.commitments import registers_leaf, state_tree, tensor_root, tensor_tree
from runtime.dispute.moves import Level
from runtime.dispute.records import Game
from runtime.trees import Tree
from runtime.vm.check import CheckedProgram
from runtime.vm.instructions import Address, Recipe
from runtime.vm.interpreter import load_group
from runtime.vm.job import Job
from runtime.vm.opcodes import Registers
from runtime.vm.recipes import element_recipe

Buffer = bytes | memoryview
"""Little-endian, C-ordered bytes of one tensor. NumPy arrays offer theirs as ``array.data``."""


class Tracer(Protocol):
    """One party's replay of one segment. Answers must not change while a game is played."""

    checked: CheckedProgram
    job: Job

    def state_roots(self) -> Sequence[bytes]:
        """Roots of the states s_0 .. s_n of the segment; s_0 is the job's start."""

    def state_values(self, step: int) -> Sequence[Buffer]:
        """The tensors of the state after ``step`` steps (0: the start), in the order of ``checked.state``."""

    def step_values(self, step: int) -> Sequence[Buffer]:
        """Every value of step ``step`` (from 1) by its number in the program, inputs first."""

    def sample_tree(self) -> Tree:
        """The tree over the data set: leaf = sample * fields + field."""

    def sample_field(self, leaf: int) -> Buffer:
        """The bytes behind one leaf of `sample_tree`."""

    def scalar_table(self) -> Buffer:
        """The whole f32 table of step scalars."""

    def registers(self, step: int, value: int, element: int) -> Sequence[Registers]:
        """Registers of one element's recipe: the constants, then the state after every group of operations."""

    def operands(self, step: int, value: int, element: int, group: int) -> Sequence[int]:
        """Bits that group ``group`` (from 1) of an element's recipe loads, in order of use."""


@dataclass(frozen=True)
class ElementRun:
    """One element's recipe, run: registers at every leaf of its trace, and the operands that each group loads."""

    registers: tuple[Registers, ...]
    operands: tuple[tuple[int, ...], ...]


class ElementRuns(ABC):
    """Gives `Tracer` its registers and operands from one method that reads any element.

    A cheat overrides `run_element` to hand out the registers or operands of a run that never happened.
    """

    def __init__(self, checked: CheckedProgram, job: Job) -> None:
        self.checked = checked
        self.job = job
        self._runs: dict[tuple[int, int, int], ElementRun] = {}

    @abstractmethod
    def load(self, step: int, address: Address) -> int:
        """Bits of one element that a step reads: of an earlier value, the state before, the data or the scalars."""

    def recipe(self, step: int, value: int, element: int) -> Recipe:
        return element_recipe(self.checked, self.job, self.job.first_step + step - 1, value, element)

    def run_element(self, step: int, value: int, element: int) -> ElementRun:
        """Run a recipe group by group."""
        recipe = self.recipe(step, value, element)
        registers, operands = [recipe.constants], []
        for group in range(1, recipe.groups + 1):
            result = load_group(recipe, group, registers[-1], lambda address: self.load(step, address))
            registers.append(result.registers_after)
            operands.append(result.operands)
        return ElementRun(tuple(registers), tuple(operands))

    def registers(self, step: int, value: int, element: int) -> Sequence[Registers]:
        return self._run(step, value, element).registers

    def operands(self, step: int, value: int, element: int, group: int) -> Sequence[int]:
        return self._run(step, value, element).operands[group - 1]

    def _run(self, step: int, value: int, number: int) -> ElementRun:
        if (step, value, number) not in self._runs:
            self._runs[step, value, number] = self.run_element(step, value, number)
        return self._runs[step, value, number]


class Trees:
    """The trees over a tracer's answers, each built once."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self._built: dict[Hashable, Tree] = {}

    def segment(self) -> Tree:
        return self._get(("segment",), lambda: Tree(self.tracer.state_roots()))

    def step(self, step: int) -> Tree:
        """The values of a step, then the root of the state after it."""

        def build() -> Tree:
            values = [tensor_root(value) for value in self.tracer.step_values(step)]
            return Tree([*values, self.tracer.state_roots()[step]])

        return self._get(("step", step), build)

    def tensor(self, step: int, value: int) -> Tree:
        return self._get(("tensor", step, value), lambda: tensor_tree(self.tracer.step_values(step)[value]))

    def state(self, step: int) -> Tree:
        """The tensors of the state after ``step`` steps."""

        def build() -> Tree:
            tensors = zip(self.tracer.checked.state, self.tracer.state_values(step), strict=True)
            return state_tree((name, kind.dtype, kind.shape, tensor_root(data)) for (name, _, kind), data in tensors)

        return self._get(("state", step), build)

    def state_tensor(self, step: int, tensor: int) -> Tree:
        return self._get(("state", step, tensor), lambda: tensor_tree(self.tracer.state_values(step)[tensor]))

    def sample_field(self, leaf: int) -> Tree:
        return self._get(("sample", leaf), lambda: tensor_tree(self.tracer.sample_field(leaf)))

    def scalars(self) -> Tree:
        return self._get(("scalars",), lambda: tensor_tree(self.tracer.scalar_table()))

    def trace(self, step: int, value: int, element: int) -> Tree:
        """The register trace of one element."""

        def build() -> Tree:
            registers = self.tracer.registers(step, value, element)
            return Tree([registers_leaf(one.to_bytes()) for one in registers])

        return self._get(("trace", step, value, element), build)

    def current(self, game: Game) -> Tree:
        """The tree that a game stands in."""
        match game.cursor.level:
            case Level.SEGMENT:
                return self.segment()
            case Level.STEP:
                return self.step(game.step)
            case Level.TENSOR:
                return self.tensor(game.step, game.value)
            case Level.STATE:
                return self.state(game.step)
        return self.trace(game.step, game.value, game.element)

    def _get(self, key: Hashable, build: Callable[[], Tree]) -> Tree:
        if key not in self._built:
            self._built[key] = build()
        return self._built[key]
