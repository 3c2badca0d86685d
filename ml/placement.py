"""Where each value of a step lives in memory.

The *compact* placement reuses buffers as soon as their last reader is done (liveness), lets element-wise operators
write over a dying input, and updates state tensors where they lie. The *open* placement gives every value a buffer of
its own, for traces and for tests that tamper with values.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field

from ml.backend import ALIGNMENT, Instruction
from runtime.vm.check import CheckedProgram

SMALL_CONSTANT = 64 * 1024
"""A ``fill`` of at most this many bytes is computed once and keeps its buffer."""


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass
class Placement:
    """Mutable while being built. ``offset[value]`` is a place in an arena of ``size`` bytes; ``schedule`` runs each
    step, ``once`` when the executor is built."""

    offset: list[int]
    size: int = 0
    schedule: list[Instruction] = field(default_factory=list)
    once: list[Instruction] = field(default_factory=list)

    def extend(self, byte_count: int) -> int:
        """A new place at the end of the arena."""
        offset = self.size
        self.size += aligned(byte_count)
        return offset


class _FreeList:
    """Mutable: the holes of the arena, as (offset, size) in ascending order, neighbours joined."""

    def __init__(self, placement: Placement) -> None:
        self.placement = placement
        self.holes: list[tuple[int, int]] = []

    def take(self, byte_count: int) -> int:
        """The smallest hole that is large enough, else new room."""
        wanted = aligned(byte_count)
        fitting = [hole for hole in self.holes if hole[1] >= wanted]
        if not fitting:
            return self.placement.extend(byte_count)
        offset, size = min(fitting, key=lambda hole: hole[1])
        self.holes.remove((offset, size))
        if size > wanted:
            insort(self.holes, (offset + wanted, size - wanted))
        return offset

    def give(self, offset: int, byte_count: int) -> None:
        insort(self.holes, (offset, aligned(byte_count)))
        joined: list[tuple[int, int]] = []
        for start, size in self.holes:
            if joined and joined[-1][0] + joined[-1][1] == start:
                joined[-1] = (joined[-1][0], joined[-1][1] + size)
            else:
                joined.append((start, size))
        self.holes = joined


def place_openly(checked: CheckedProgram, instructions: list[Instruction]) -> Placement:
    """Every value in a buffer of its own."""
    placement = Placement([0] * len(checked.values))
    for value, tensor in enumerate(checked.values):
        placement.offset[value] = placement.extend(tensor.bytes)
    placement.schedule = list(instructions)
    return placement


def place_compactly(checked: CheckedProgram, instructions: list[Instruction]) -> Placement:
    """Buffers reused by liveness; the next state ends up where the program reads its state."""
    return _Compact(checked, instructions).place()


class _Compact:
    """Mutable: the state of one compact placement. A *storage* is a buffer with its last use; aliases share one."""

    def __init__(self, checked: CheckedProgram, instructions: list[Instruction]) -> None:
        self.checked = checked
        self.instructions = instructions
        self.placement = Placement([-1] * len(checked.values))
        self.free = _FreeList(self.placement)
        self.root = list(range(len(checked.values)))
        self.pinned: set[int] = set()
        """Storages that keep their buffer from step to step."""
        self.state_name = {value: name for name, value, _ in checked.start_state}
        self.next_state = {name: value for name, value, _ in checked.state}

    def place(self) -> Placement:
        inputs = len(self.checked.program.inputs)
        for value in range(inputs):
            self._pin(value)
        moved = [self._alias_or_keep(index) for index in range(len(self.instructions))]
        last_use = self._last_uses()
        dying: dict[int, list[int]] = {}
        for storage, index in last_use.items():
            dying.setdefault(index, []).append(storage)
        for index, instruction in enumerate(self.instructions):
            if moved[index]:
                self._place_outputs(index, instruction, last_use)
            for storage in dying.get(index, ()):
                if storage not in self.pinned and self.placement.offset[storage] >= 0:
                    self.free.give(self.placement.offset[storage], self.checked.values[storage].bytes)
        for value in range(len(self.root)):
            self.placement.offset[value] = self.placement.offset[self.root[value]]
        self._commit()
        return self.placement

    def _pin(self, value: int) -> None:
        self.placement.offset[value] = self.placement.extend(self.checked.values[value].bytes)
        self.pinned.add(value)

    def _alias_or_keep(self, index: int) -> bool:
        """Whether the instruction has to run. A reshape of a canonical value needs no work and shares its storage."""
        instruction = self.instructions[index]
        if self.checked.program.nodes[index].op != "reshape":
            return True
        source, target = instruction.inputs[0], instruction.outputs[0]
        made_here = source >= len(self.checked.program.inputs)
        if self.checked.values[source].dtype == "f32" and not made_here:
            return True
        self.root[target] = self.root[source]
        return False

    def _last_uses(self) -> dict[int, int]:
        """Storage -> index of the last instruction that touches it; the end of the step for what leaves it."""
        last: dict[int, int] = {}
        for index, instruction in enumerate(self.instructions):
            for value in (*instruction.inputs, *instruction.outputs):
                last[self.root[value]] = index
        for entry in (*self.checked.program.state, *self.checked.program.metrics):
            last[self.root[entry.value]] = len(self.instructions)
        # A value can be made and die in one instruction (an unused statistic); state read by nobody has no use.
        return last

    def _place_outputs(self, index: int, instruction: Instruction, last_use: dict[int, int]) -> None:
        taken: set[int] = set()
        for position, value in enumerate(instruction.outputs):
            over = self._overwritten(index, instruction, position, value, last_use, taken)
            if over is not None:
                taken.add(over)
                self.placement.offset[value] = self.placement.offset[over]
                if over in self.pinned:
                    self.pinned.add(value)
                else:
                    last_use[over] = -1
                    self.pinned.add(over)  # its place now belongs to the output, which frees it
            elif instruction.op == "fill" and self.checked.values[value].bytes <= SMALL_CONSTANT:
                self._pin(value)
                self.placement.once.append(instruction)
                return
            else:
                self.placement.offset[value] = self.free.take(self.checked.values[value].bytes)
        self.placement.schedule.append(instruction)

    def _overwritten(
        self, index: int, instruction: Instruction, position: int, value: int, last_use: dict[int, int], taken: set[int]
    ) -> int | None:
        """The storage of an input that this output may overwrite, if there is one; best its own place in the state."""
        dying = None
        for output, source in instruction.in_place:
            if output != position:
                continue
            storage = self.root[instruction.inputs[source]]
            same_size = self.checked.values[storage].bytes == self.checked.values[value].bytes
            if storage in taken or not same_size or last_use[storage] != index:
                continue
            name = self.state_name.get(storage)
            if storage in self.pinned and name is not None and self.next_state.get(name) == value:
                return storage
            if dying is None and storage not in self.pinned:
                dying = storage
        return dying

    def _commit(self) -> None:
        """Copy the next state to where the program reads its state; first aside where copies could clash."""
        inputs = len(self.checked.program.inputs)
        home = {name: value for value, name in self.state_name.items()}
        aside: list[Instruction] = []
        final: list[Instruction] = []
        for name, value in self.next_state.items():
            target = home.get(name)
            if target is None or self.placement.offset[value] == self.placement.offset[target]:
                continue
            source = value
            if self.root[value] < inputs:
                self.placement.offset.append(self.placement.extend(self.checked.values[value].bytes))
                source = len(self.placement.offset) - 1
                aside.append(_copy(self.checked, value, source))
            final.append(_copy(self.checked, source, target))
        self.placement.schedule += [*aside, *final]


def _copy(checked: CheckedProgram, source: int, target: int) -> Instruction:
    tensor = checked.values[min(source, target)]
    size = tensor.bytes
    return Instruction("move_byte", (size,), (source,), (target,), strides=((1,),), work=size // 16)
