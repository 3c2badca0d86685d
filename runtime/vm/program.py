"""Graph programs: a training job as data.

A *program* is one step of a job as a static graph in SSA form. Its *values* are numbered: first the inputs, then the
outputs of each node in program order (an operator's internal statistics before its main output). A node may use
only values numbered before it, so a cycle cannot be written down. ``state`` names the values that form the next
state, sorted by name; ``metrics`` names values that are reported but not carried on.

A training program reads exactly the tensors that it leaves: state inputs and next state agree in name, dtype and shape.
An initialisation program reads none; an evaluation program leaves none.
"""

from __future__ import annotations

from runtime.codec import Record

MAX_PROGRAM_BYTES = 1024 * 1024
MAX_NODES = 16_384

INPUT_KINDS = ("state", "batch", "scalar", "key")
"""``state``: a tensor of the current state, looked up by name. ``batch``: field ``name`` of the step's samples, shape
(batch, *field shape). ``scalar``: f32 of shape (), column ``name`` of the task's table of step scalars. ``key``: u32 of
shape (2,), the task's Philox key."""


class Input(Record):
    """One typed input of a step. ``kind`` is one of `INPUT_KINDS`."""

    kind: str
    name: str
    dtype: str
    shape: tuple[int, ...]


class Node(Record):
    """One operator application: name in the operator table, integer attributes, the numbers of its input values."""

    op: str
    attributes: tuple[int, ...]
    inputs: tuple[int, ...]


class Named(Record):
    """A value that leaves the step under a name."""

    name: str
    value: int


class Program(Record):
    """One step of a job. `runtime.vm.check.check_program` validates it before anything is paid or allocated."""

    version: int
    inputs: tuple[Input, ...]
    nodes: tuple[Node, ...]
    state: tuple[Named, ...]
    metrics: tuple[Named, ...]
