"""A whole step by interpreter alone: the slow definition that fast executors are compared with."""

from __future__ import annotations

from collections.abc import Callable

from runtime.vm.check import CheckedProgram
from runtime.vm.instructions import Address
from runtime.vm.interpreter import element_bits, evaluate
from runtime.vm.job import Job
from runtime.vm.recipes import element_recipe
from runtime.vm.types import read_element, write_element


def evaluate_step(checked: CheckedProgram, job: Job, step: int, load: Callable[[Address], int]) -> list[bytes]:
    """Little-endian bytes of every value of the step at global number ``step``.

    ``load`` reads an element of the spaces "state", "data" and "scalars"; values of the step itself are kept here.
    """
    values: list[bytearray] = []

    def load_any(address: Address) -> int:
        if address.space != "value":
            return load(address)
        return read_element(values[address.tensor], checked.values[address.tensor].dtype, address.element)

    for value, (dtype, _) in enumerate(checked.values):
        data = bytearray()
        values.append(data)
        for element in range(checked.values[value].elements):
            registers = evaluate(element_recipe(checked, job, step, value, element), load_any)
            data += write_element(element_bits(registers, dtype), dtype)
    return [bytes(data) for data in values]


def load_from(
    state: list[bytes], state_dtypes: list[str], scalars: bytes, samples: Callable[[int], tuple[bytes, str]]
) -> Callable[[Address], int]:
    """A ``load`` over start-state tensors (sorted by name), the scalar table, and samples(leaf) -> (bytes, dtype)."""

    def load(address: Address) -> int:
        if address.space == "state":
            return read_element(state[address.tensor], state_dtypes[address.tensor], address.element)
        if address.space == "scalars":
            return read_element(scalars, "f32", address.element)
        data, dtype = samples(address.tensor)
        return read_element(data, dtype, address.element)

    return load
