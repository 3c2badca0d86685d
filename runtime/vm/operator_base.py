"""What an entry of the operator table is, and the small vocabulary of shape rules and index maps that entries share.

A shape rule takes (attributes, input types) and returns the types of the outputs, internal statistics first and the
main output last; it raises `ProgramError` with the rule that is broken. It sees only shapes that are within bounds,
and must itself stay cheap whatever the integers: it never allocates in proportion to a dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runtime.errors import ProgramError
from runtime.vm.instructions import GROUP, Address, Load, Recipe
from runtime.vm.types import TensorType

MAX_RANK = 8
MAX_DIMENSION = 1 << 32

ShapeRule = Callable[[tuple[int, ...], tuple[TensorType, ...]], tuple[TensorType, ...]]


@dataclass(frozen=True, slots=True)
class Application:
    """One node of a program, resolved: what a recipe needs to know. ``step`` is the global step."""

    node: int
    step: int
    attributes: tuple[int, ...]
    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    input_values: tuple[int, ...]
    first_output: int

    def load(self, number: int, element: int) -> Load:
        """Source that reads an element of input ``number``."""
        return Load(Address("value", self.input_values[number], element), self.inputs[number].dtype)

    def load_output(self, number: int, element: int) -> Load:
        """Source that reads an element of an earlier output of this same node."""
        return Load(Address("value", self.first_output + number, element), self.outputs[number].dtype)


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator: its name, its shape rule and the exact scalar recipe of every output element.

    ``recipe(application, output, element)``; the recipe of element 0 is the longest of its output, unless ``price``
    says what an output costs: where a kernel does less than all elements' recipes together, or the first is short.
    """

    name: str
    shapes: ShapeRule
    recipe: Callable[[Application, int, int], Recipe]
    price: Callable[[Application, int], int] | None = None
    longest: Callable[[Application, int], int] | None = None
    """Where the first element's recipe is not the longest: how many operations none exceeds."""

    def groups(self, application: Application, output: int) -> int:
        """Groups of operations that no element of an output exceeds."""
        if self.longest is not None:
            return -(-self.longest(application, output) // GROUP)
        return self.recipe(application, output, 0).groups

    def gas(self, application: Application, output: int) -> int:
        """Scalar operations that one output costs."""
        if self.price is not None:
            return self.price(application, output)
        return application.outputs[output].elements * self.recipe(application, output, 0).gas


def require(condition: bool, rule: str) -> None:
    """Raise `ProgramError` with the broken rule."""
    if not condition:
        raise ProgramError(rule)


def require_arity(
    attributes: tuple[int, ...], inputs: tuple[TensorType, ...], attribute_count: int, dtypes: tuple[str, ...]
) -> None:
    """Check the number of attributes, and the number and dtypes of the inputs."""
    require(len(attributes) == attribute_count, f"takes {attribute_count} attributes, not {len(attributes)}")
    require_dtypes(inputs, dtypes)


def require_dtypes(inputs: tuple[TensorType, ...], dtypes: tuple[str, ...]) -> None:
    require(len(inputs) == len(dtypes), f"takes {len(dtypes)} inputs, not {len(inputs)}")
    for number, (given, wanted) in enumerate(zip(inputs, dtypes, strict=True)):
        require(given.dtype == wanted, f"input {number} must be {wanted}, not {given}")


def require_rank(tensor: TensorType, rank: int) -> None:
    require(len(tensor.shape) == rank, f"needs a tensor of rank {rank}, not {tensor}")


def require_shape(shape: tuple[int, ...]) -> None:
    """Check that a shape is one that a value may have, before anything is computed from it."""
    require(len(shape) <= MAX_RANK, f"rank {len(shape)} is above {MAX_RANK}")
    for size in shape:
        if not 1 <= size <= MAX_DIMENSION:
            raise ProgramError(f"dimension {size} is outside 1..{MAX_DIMENSION}")


def require_range(what: str, number: int, low: int, high: int) -> None:
    if not low <= number <= high:
        raise ProgramError(f"{what} {number} is outside {low}..{high}")


def require_bits(bits: int) -> None:
    require(0 <= bits < 1 << 32, f"attribute {bits} is not an f32 bit pattern")


def require_flag(flag: int) -> None:
    require(flag in (0, 1), f"flag {flag} is neither 0 nor 1")


def broadcast_shape(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    """NumPy's broadcasting rule for two shapes."""
    rank = max(len(left), len(right))
    sizes = []
    for a, b in zip((1,) * (rank - len(left)) + left, (1,) * (rank - len(right)) + right, strict=True):
        require(a == b or 1 in (a, b), f"shapes {left} and {right} do not broadcast")
        sizes.append(max(a, b))
    return tuple(sizes)


def broadcast_element(element: int, output: tuple[int, ...], source: tuple[int, ...]) -> int:
    """Which element of a broadcast ``source`` stands at an element of ``output``, both C-ordered."""
    position, stride = 0, 1
    padded = (1,) * (len(output) - len(source)) + source
    for size, wanted in zip(reversed(output), reversed(padded), strict=True):
        element, index = divmod(element, size)
        if wanted > 1:
            position += index * stride
            stride *= wanted
    return position
