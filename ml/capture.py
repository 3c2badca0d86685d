"""From ordinary PyTorch code to the programs of a task.

`capture_task` traces one training step of an unmodified ``nn.Module`` with its loss (forward and backward, under fake
tensors, nothing is computed) and lowers it by the rules of ``ml.lowering``. The optimizer's update is written down
directly, one node per parameter, with the learning rate read from the table of step scalars. The result is
three programs: initialisation, one training step, and evaluation (logits of a batch).

State names: ``model.<name>`` for parameters and buffers, ``momentum.<name>`` for SGD's momentum, ``mean.<name>`` and
``square.<name>`` for Adam's moments, ``largest.<name>`` for AMSGrad's largest second moment.
"""

from __future__ import annotations

import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.func import functional_call, functionalize
from torch.fx import traceback as fx_traceback
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ml.builder import Builder, Ref, Refused, UnsupportedOperator
from ml.initial import Draw, Normal, Uniform, UnsupportedInitialiser, initialise
from ml.locations import keeping_whole_stacks, locate, locate_error
from ml.lowering import RULES, Application, spread
from ml.lowering.views import OF_DTYPE
from ml.optimizers import Optimizer, Rates, read_optimizer
from runtime.vm.check import CheckedProgram, check_program
from runtime.vm.job import Field
from runtime.vm.program import Input, Program

Loss = Callable[[Tensor, Tensor], Tensor]
Preprocess = Callable[[Tensor], Tensor]
TORCH_DTYPES = {"f32": torch.float32, "i32": torch.int32, "u8": torch.uint8}
DTYPE_NAMES = {dtype: name for name, dtype in TORCH_DTYPES.items()}
STATE_DTYPES = {**DTYPE_NAMES, torch.int64: "i32", torch.bool: "i32"}
"""How buffers are kept: counters and masks as i32."""


@dataclass(frozen=True, slots=True)
class CapturedTask:
    """What a submitter needs of a captured model. ``model_tensors`` maps state names to names of torch's state_dict."""

    train: Program
    init: Program
    evaluation: Program
    scalar_names: tuple[str, ...]
    scalars: np.ndarray
    """f32 table of shape (steps, len(scalar_names))."""
    model_tensors: dict[str, str]

    def check(self) -> tuple[CheckedProgram, CheckedProgram, CheckedProgram]:
        """(train, init, evaluation) as the chain sees them."""
        return check_program(self.train), check_program(self.init), check_program(self.evaluation)


def capture_task(
    model: nn.Module,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    fields: Sequence[Field],
    *,
    batch_size: int,
    steps: int,
    learning_rates: Rates | None = None,
    preprocess: Preprocess | None = None,
    initial: Mapping[str, tuple[float, float] | Draw] | None = None,
    evaluation_batch: int | None = None,
    clip_norm: float | None = None,
) -> CapturedTask:
    """Capture the training of ``model`` on batches of ``fields``: the first is the input, the second the target.

    ``preprocess`` turns a batch of the input field into what the model takes; by default u8 becomes f32 times 1/255.
    ``learning_rates`` holds a rate per step, or a sequence of one for each parameter group, else the optimizer's own
    are used throughout. ``initial`` gives
    (low, high) of a uniform distribution, or a `Normal`, by parameter name, where the module's default is not meant.
    ``clip_norm`` bounds the norm of all gradients together. Raises `UnsupportedOperator`, `UnsupportedOptimizer` or
    `UnsupportedInitialiser`, naming what and where.
    """
    settings = read_optimizer(optimizer, model, clip_norm, steps, learning_rates)
    prepare = preprocess or scale_bytes
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return CapturedTask(
        train=_train_program(model, loss, fields, batch_size, prepare, settings, tensors),
        init=_init_program(model, settings, tensors, {name: _draw(given) for name, given in (initial or {}).items()}),
        evaluation=_evaluation_program(model, fields[0], evaluation_batch or batch_size, prepare, tensors),
        scalar_names=tuple(settings.columns),
        scalars=settings.table(),
        model_tensors={f"model.{name}": name for name in sorted(tensors)},
    )


def _draw(given: tuple[float, float] | Draw) -> Draw:
    return given if isinstance(given, Uniform | Normal) else Uniform(*given)


def scale_bytes(batch: Tensor) -> Tensor:
    """The default preparation: bytes become floats in [0, 1], everything else stays as it is."""
    return batch.to(torch.float32) * (1 / 255) if batch.dtype == torch.uint8 else batch


# -- Programs ---------------------------------------------------------------------------------------------------------


KEY = Input(kind="key", name="key", dtype="u32", shape=(2,))


def _state_inputs(tensors: Mapping[str, Tensor], kept: Sequence[tuple[str, str]]) -> list[Input]:
    """Inputs for the model's tensors and for the optimizer's (state name, parameter) pairs, sorted."""
    entries = [_state_input(f"model.{name}", tensor) for name, tensor in tensors.items()]
    entries += [_state_input(state, tensors[name]) for state, name in kept]
    return sorted(entries, key=lambda entry: entry.name)


def _state_input(name: str, tensor: Tensor) -> Input:
    if tensor.dtype not in STATE_DTYPES:
        raise UnsupportedInitialiser(
            f"{name} is {tensor.dtype}; state tensors are float32, integers or bool: build the model in float32"
        )
    return Input(kind="state", name=name, dtype=STATE_DTYPES[tensor.dtype], shape=tuple(tensor.shape))


def _batch_input(field: Field, batch_size: int) -> Input:
    return Input(kind="batch", name=field.name, dtype=field.dtype, shape=(batch_size, *field.shape))


def _train_program(
    model: nn.Module,
    loss: Loss,
    fields: Sequence[Field],
    batch_size: int,
    prepare: Preprocess,
    settings: Optimizer,
    tensors: Mapping[str, Tensor],
) -> Program:
    trained = settings.trained
    buffers = sorted(name for name, _ in model.named_buffers())

    def step(state: dict[str, Tensor], inputs: Tensor, target: Tensor) -> list[Tensor]:
        """The loss, the gradients, and the buffers as the forward pass leaves them."""
        state = state | {name: state[name].clone() for name in buffers}
        output = functional_call(model, state, (prepare(inputs),))
        value = loss(output, target.long() if target.dtype == torch.int32 else target)
        gradients = torch.autograd.grad(value, [state[name] for name in trained], materialize_grads=True)
        return [value, *gradients, *(state[name] for name in buffers)]

    batch = [_batch_input(field, batch_size) for field in fields[:2]]
    scalars = [Input(kind="scalar", name=name, dtype="f32", shape=()) for name in settings.columns]
    builder = Builder([*_state_inputs(tensors, settings.buffers()), *batch, *scalars, KEY])
    numbers = {source.name: Ref(value) for value, source in enumerate(builder.inputs)}
    was_training = model.training
    model.train()
    try:
        loss_ref, *results = _lower_function(model, builder, step, tensors, trained, batch, numbers)
    finally:
        model.train(was_training)
    if builder.shape(loss_ref) != ():
        raise UnsupportedOperator("loss", "the loss function", f"gives shape {builder.shape(loss_ref)}, not one number")
    state = {f"model.{name}": numbers[f"model.{name}"].value for name in tensors}
    for name, ref in zip(buffers, results[len(trained) :], strict=True):
        state[f"model.{name}"] = builder.materialise(ref).value
    state |= settings.emit(builder, numbers, dict(zip(trained, results, strict=False)))
    return builder.program(state, {"loss": builder.materialise(loss_ref).value})


def _evaluation_program(
    model: nn.Module, field: Field, batch_size: int, prepare: Preprocess, tensors: Mapping[str, Tensor]
) -> Program:
    def forward(state: dict[str, Tensor], inputs: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return [functional_call(model, state, (prepare(inputs),))]

    batch = [_batch_input(field, batch_size)]
    builder = Builder([*_state_inputs(tensors, ()), *batch])
    numbers = {source.name: Ref(value) for value, source in enumerate(builder.inputs)}
    was_training = model.training
    model.eval()
    try:
        (logits,) = _lower_function(model, builder, forward, tensors, [], batch, numbers)
    finally:
        model.train(was_training)
    return builder.program({}, {"logits": builder.materialise(logits).value})


def _init_program(
    model: nn.Module, settings: Optimizer, tensors: Mapping[str, Tensor], initial: Mapping[str, Draw]
) -> Program:
    builder = Builder([KEY])
    state = {}
    for name in sorted(tensors):
        start = initialise(builder, builder.key, model, name, tensors[name], initial.get(name))
        state[f"model.{name}"] = start.value
    for entry, name in settings.buffers():
        state[entry] = builder.constant(0.0, tuple(tensors[name].shape)).value
    return builder.program(state, {})


# -- Tracing ----------------------------------------------------------------------------------------------------------


def _lower_function(
    model: nn.Module,
    builder: Builder,
    function: Callable[..., list[Tensor]],
    tensors: Mapping[str, Tensor],
    trained: Sequence[str],
    batch: Sequence[Input],
    numbers: Mapping[str, Ref],
) -> list[Ref]:
    """Trace function(state dict, *batch) and lower its graph; returns one `Ref` per result."""
    names = sorted(tensors)
    flags = [name in trained for name in names]
    examples = [_example(tensors[name]).requires_grad_(flag) for name, flag in zip(names, flags, strict=True)]
    examples += [torch.zeros(source.shape, dtype=TORCH_DTYPES[source.dtype]) for source in batch]

    def flat(*arguments: Tensor) -> list[Tensor]:
        state = {name: tensor.to(tensors[name].dtype) for name, tensor in zip(names, arguments, strict=False)}
        return function(state, *arguments[len(names) :])

    graph = _trace(model, flat, examples)
    _refuse_writes(model, graph, dict(zip(graph.graph.find_nodes(op="placeholder"), names, strict=False)), trained)
    if any(_mutates(node) for node in graph.graph.nodes):
        again = torch.fx.Interpreter(graph)
        with fx_traceback.preserve_node_meta():
            graph = _trace(model, functionalize(again.run, remove="mutations"), examples)
    arguments = [numbers[f"model.{name}"] for name in names] + [numbers[source.name] for source in batch]
    return _Walk(model, builder, graph).run(arguments)


def _example(tensor: Tensor) -> Tensor:
    """A tensor as the state holds it."""
    return tensor.detach().to(TORCH_DTYPES[STATE_DTYPES[tensor.dtype]], copy=True)


def _trace(model: nn.Module, function: Callable[..., Any], examples: list[Tensor]) -> torch.fx.GraphModule:
    # mkldnn has recurrent layers of its own; without it they are traced step by step.
    with _quiet(), keeping_whole_stacks(), torch.backends.mkldnn.flags(enabled=False):
        try:
            return make_fx(function, tracing_mode="fake", record_stack_traces=True)(*examples)
        except Exception as error:  # whatever the user's code raises
            source, reason = locate_error(error, model), (str(error) or type(error).__name__).splitlines()[0]
            if isinstance(error, GuardOnDataDependentSymNode | DataDependentOutputException):
                raise UnsupportedOperator("a branch or shape", source, DEPENDS_ON_DATA) from error
            raise UnsupportedOperator("the training step", source, f"it cannot be traced: {reason}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch from printing what the exception says anyway."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.disabled = before


DEPENDS_ON_DATA = "it depends on the data, but a program is the same at every step; use torch.where or a mask"
WHY = dict.fromkeys(
    ("aten._local_scalar_dense.default", "aten.nonzero.default", "aten.masked_select.default", "aten._unique2.default"),
    (DEPENDS_ON_DATA,),
)
"""Explanations of operators that no program can have."""
SILENT_WRITES = {"aten.native_batch_norm.default": ((3, 3), (4, 4))}
"""Operators that write to arguments though their schema does not say so: (argument, position of its new value)."""


def _mutates(node: torch.fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def _refuse_writes(
    model: nn.Module, graph: torch.fx.GraphModule, inputs: Mapping[torch.fx.Node, str], trained: Sequence[str]
) -> None:
    """Raise `UnsupportedOperator` where the step writes into a parameter that the optimizer updates."""
    owner = dict(inputs)
    for node in graph.graph.nodes:
        if not isinstance(node.target, torch._ops.OpOverload):
            continue
        for place, argument in enumerate(node.target._schema.arguments):
            given = node.args[place] if place < len(node.args) else None
            if argument.alias_info is None or not isinstance(given, torch.fx.Node) or given not in owner:
                continue
            if argument.alias_info.is_write and owner[given] in trained:
                why = f"it writes into the parameter {owner[given]}, which only the optimizer may change; use a buffer"
                raise UnsupportedOperator(str(node.target), locate(node.stack_trace or "", model), why)
            owner[node] = owner[given]


class _Walk:
    """Mutable: one pass over a traced graph that lowers node after node."""

    def __init__(self, model: nn.Module, builder: Builder, graph: torch.fx.GraphModule) -> None:
        self.model = model
        self.builder = builder
        self.graph = graph
        self.results: dict[torch.fx.Node, Any] = {}

    def run(self, arguments: Sequence[Ref]) -> list[Ref]:
        remaining = iter(arguments)
        for node in self.graph.graph.nodes:
            if node.op == "placeholder":
                self.results[node] = next(remaining)
            elif node.op == "output":
                return list(self._resolve(node.args[0]))
            elif node.op == "get_attr":
                self.results[node] = self._constant(node)
            elif node.users:
                self.results[node] = self._lower(node)
        raise AssertionError("a traced graph ends in an output")

    def _resolve(self, argument: Any) -> Any:
        return torch.fx.map_arg(argument, lambda node: self.results[node])

    def _lower(self, node: torch.fx.Node) -> Any:
        args, kwargs = self._resolve(node.args), self._resolve(node.kwargs)
        if node.target is operator.getitem:
            return args[0][args[1]]
        name = str(node.target)
        if name not in RULES:
            raise UnsupportedOperator(name, locate(node.stack_trace or "", self.model), *WHY.get(name, ()))
        result = node.meta.get("val")
        shape, dtype = (tuple(result.shape), result.dtype) if isinstance(result, Tensor) else ((), None)
        several = result if isinstance(result, tuple | list) else ()
        shapes = tuple(tuple(one.shape) for one in several if isinstance(one, Tensor))
        try:
            lowered = RULES[name](self.builder, Application(name, tuple(args), dict(kwargs), shape, dtype, shapes))
        except Refused as refusal:
            raise UnsupportedOperator(name, locate(node.stack_trace or "", self.model), str(refusal)) from None
        for argument, position in SILENT_WRITES.get(name, ()):
            written = node.args[argument]
            if isinstance(written, torch.fx.Node):
                self.results[written] = lowered[position]
        if isinstance(result, Tensor):
            lowered = spread(self.builder, lowered, shape)
            found = self.builder.dtype(lowered), self.builder.shape(lowered)
            assert found == (OF_DTYPE[result.dtype], shape), f"{name} gives {shape}, its rule {found}"
        return lowered

    def _constant(self, node: torch.fx.Node) -> Ref:
        value = getattr(self.graph, str(node.target))
        if isinstance(value, Tensor) and value.dtype == torch.float32 and value.numel() > 0:
            first = value.reshape(-1)[0]
            if bool((value == first).all()):
                return self.builder.constant(float(first), tuple(value.shape))
        raise UnsupportedOperator(
            f"constant {node.target}",
            locate(node.stack_trace or "", self.model),
            "a tensor made outside the model; use register_buffer",
        )
