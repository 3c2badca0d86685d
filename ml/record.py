"""The C record of a placed instruction, ``struct solvent_instruction``, whatever reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ml.backend import Array, Instruction


def fill_record(ffi: Any, record: Any, instruction: Instruction, number: int, addresses: Sequence[int]) -> None:
    """Fill a zeroed record; ``number`` is the operator's in ``enum solvent_op``. Its ``code`` is left to the caller."""
    record.op = number
    record.rank = len(instruction.sizes)
    record.work = instruction.work
    record.inputs, record.outputs = len(instruction.inputs), len(instruction.outputs)
    for index, offset in enumerate(instruction.offsets):
        record.offset[index] = offset
    for index, size in enumerate(instruction.sizes):
        record.size[index] = size
    for index, bits in enumerate(instruction.scalars):
        record.scalar[index] = bits
    for side, strides in enumerate(instruction.strides):
        for index, stride in enumerate(strides):
            record.stride[side][index] = stride
    pointers = getattr(record, "in")  # a keyword in Python
    for index, value in enumerate(instruction.inputs):
        pointers[index] = ffi.cast("void *", addresses[value])
    for index, value in enumerate(instruction.outputs):
        record.out[index] = ffi.cast("void *", addresses[value])


def code_words(instruction: Instruction) -> Array:
    """The line of a map as i32."""
    return np.array(instruction.code, dtype=np.uint32).view(np.int32)
