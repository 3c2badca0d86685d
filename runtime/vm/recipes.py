"""The scalar recipe of any element of any value of a step: what the dispute game executes in the end.

Recipes of node outputs come from the operator table. An input value's element is one MOVE from where the job keeps it:
the start state, a sample of the data source, the table of step scalars; the Philox key is a constant.
"""

from __future__ import annotations

from runtime.commitments import element_count
from runtime.errors import VmHalt
from runtime.vm.check import CheckedProgram
from runtime.vm.instructions import (
    GROUP,
    MAX_GROUP_OPERANDS,
    Address,
    Instruction,
    Load,
    LoadAt,
    Recipe,
    Register,
    Source,
    missing_element,
    straight,
)
from runtime.vm.job import DataSource, Job
from runtime.vm.opcodes import OPCODES, Opcode, Registers
from runtime.vm.operators import OPERATORS
from runtime.vm.philox import key_words
from runtime.vm.shuffle import sample_index
from runtime.vm.types import u32

__all__ = [
    "GROUP",
    "MAX_GROUP_OPERANDS",
    "OPCODES",
    "Address",
    "Instruction",
    "Load",
    "LoadAt",
    "Opcode",
    "Recipe",
    "Register",
    "Registers",
    "Source",
    "element_recipe",
    "input_address",
    "missing_element",
]


def element_recipe(checked: CheckedProgram, job: Job, step: int, value: int, element: int) -> Recipe:
    """The recipe of one element of a value at a global step. `VmHalt` when there is no such value or element."""
    if not 0 <= value < len(checked.values):
        raise VmHalt(f"value {value} of a step with {len(checked.values)} values")
    tensor = checked.values[value]
    if not 0 <= element < tensor.elements:
        raise VmHalt(f"element {element} of value {value}, a {tensor}")
    node, output = checked.producer(value)
    if node >= 0:
        operator = OPERATORS[checked.program.nodes[node].op]
        return operator.recipe(checked.application(node, step), output, element)
    if checked.program.inputs[value].kind == "key":
        return straight([Instruction(Opcode.MOVE, 0, (Register(1),))], {1: u32(key_words(job.seed)[element])})
    load = Load(input_address(checked, job, step, value, element), tensor.dtype)
    return straight([Instruction(Opcode.MOVE, 0, (load,))])


def input_address(checked: CheckedProgram, job: Job, step: int, value: int, element: int) -> Address:
    """Where an element of a state, batch or scalar input lies outside the step."""
    source = checked.program.inputs[value]
    if source.kind == "state":
        return Address("state", checked.start_index[value], element)
    if source.kind == "scalar":
        if source.name not in job.scalar_names:
            raise VmHalt(f"the job has no step scalar {source.name!r}")
        return Address("scalars", 0, step * len(job.scalar_names) + job.scalar_names.index(source.name))
    row, within = divmod(element, element_count(source.shape[1:]))
    return Address("data", _data_leaf(job.data, source.name, step * job.data.batch_size + row), within)


def _data_leaf(data: DataSource, name: str, position: int) -> int:
    names = [field.name for field in data.fields]
    if name not in names or data.sample_count == 0:
        raise VmHalt(f"the job's samples have no field {name!r}")
    field = names.index(name)
    return sample_index(data, position) * len(data.fields) + field
