"""From ordinary PyTorch code to the programs of a task.

`capture_task` traces one training step of an unmodified ``nn.Module`` with its loss (forward and backward, under fake
tensors, nothing is computed) and lowers it by the rules of ``ml.lowering``. The optimizer's update is written down
directly, one ``sgd`` node per parameter, with the learning rate read from the table of step scalars. The result is
three programs: initialisation, one training step, and evaluation (logits of a batch).

State names: ``model.<name>`` for parameters and buffers, ``momentum.<name>`` for SGD's momentum.
"""

from __future__ import annotations

import logging
import math
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, functionalize
from torch.fx.experimental.proxy_tensor import make_fx

from ml.builder import Builder, Ref, Refused, UnsupportedOperator, float_bits
from ml.locations import BACKWARD, locate, locate_error
from ml.lowering import RULES, Application
from runtime.errors import SolventError
from runtime.vm.check import CheckedProgram, check_program
from runtime.vm.job import Field
from runtime.vm.program import Input, Program

Loss = Callable[[Tensor, Tensor], Tensor]
Preprocess = Callable[[Tensor], Tensor]
TORCH_DTYPES = {"f32": torch.float32, "i32": torch.int32, "u8": torch.uint8}
DTYPE_NAMES = {dtype: name for name, dtype in TORCH_DTYPES.items()}
RATE = "lr"


class UnsupportedOptimizer(SolventError):
    """The optimizer, or one of its options, has no exact definition."""


class UnsupportedInitialiser(SolventError):
    """It is not known how a tensor is initialised; ``initial=`` of `capture_task` says it."""


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
    optimizer: torch.optim.SGD,
    fields: Sequence[Field],
    *,
    batch_size: int,
    steps: int,
    learning_rates: Sequence[float] | None = None,
    preprocess: Preprocess | None = None,
    initial: Mapping[str, tuple[float, float]] | None = None,
    evaluation_batch: int | None = None,
) -> CapturedTask:
    """Capture the training of ``model`` on batches of ``fields``: the first is the input, the second the target.

    ``preprocess`` turns a batch of the input field into what the model takes; by default u8 becomes f32 times 1/255.
    ``learning_rates`` holds one rate per step, else the optimizer's own is used throughout. ``initial`` gives
    (low, high) of a uniform distribution by parameter name, where the default of the module is not meant. Raises
    `UnsupportedOperator`, `UnsupportedOptimizer` or `UnsupportedInitialiser`, naming what and where.
    """
    settings = _read_optimizer(optimizer, model)
    prepare = preprocess or scale_bytes
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    rates = [settings.rate] * steps if learning_rates is None else list(learning_rates)
    if len(rates) != steps:
        raise UnsupportedOptimizer(f"{len(rates)} learning rates for {steps} steps")
    return CapturedTask(
        train=_train_program(model, loss, fields, batch_size, prepare, settings, tensors),
        init=_init_program(model, settings, tensors, initial or {}),
        evaluation=_evaluation_program(model, fields[0], evaluation_batch or batch_size, prepare, tensors),
        scalar_names=(RATE,),
        scalars=np.array(rates, dtype=np.float32).reshape(steps, 1),
        model_tensors={f"model.{name}": name for name in sorted(tensors)},
    )


def scale_bytes(batch: Tensor) -> Tensor:
    """The default preparation: bytes become floats in [0, 1], everything else stays as it is."""
    return batch.to(torch.float32) * (1 / 255) if batch.dtype == torch.uint8 else batch


# -- Optimizer --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sgd:
    rate: float
    momentum: float
    weight_decay: float
    nesterov: bool
    trained: frozenset[str]
    """Names of the parameters that the optimizer updates."""

    @property
    def attributes(self) -> tuple[int, int, int]:
        return float_bits(self.momentum), float_bits(self.weight_decay), int(self.nesterov)

    def buffers(self) -> list[str]:
        """Names of the parameters that have a momentum tensor."""
        return sorted(self.trained) if self.momentum else []


def _read_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module) -> _Sgd:
    if type(optimizer) is not torch.optim.SGD:
        raise UnsupportedOptimizer(f"{type(optimizer).__name__}: only torch.optim.SGD has an exact definition so far")
    if len(optimizer.param_groups) != 1:
        raise UnsupportedOptimizer(f"{len(optimizer.param_groups)} parameter groups; use one")
    group = optimizer.param_groups[0]
    for option in ("dampening", "maximize"):
        if group[option]:
            raise UnsupportedOptimizer(f"SGD with {option}={group[option]} has no exact definition")
    owned = {id(parameter) for parameter in group["params"]}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in owned and parameter.requires_grad}
    if not names:
        raise UnsupportedOptimizer("the optimizer holds no parameter of the model")
    return _Sgd(
        float(group["lr"]),
        float(group["momentum"]),
        float(group["weight_decay"]),
        bool(group["nesterov"]),
        frozenset(names),
    )


# -- Programs ---------------------------------------------------------------------------------------------------------


def _state_inputs(tensors: Mapping[str, Tensor], momenta: Sequence[str]) -> list[Input]:
    entries = [_state_input(f"model.{name}", tensor) for name, tensor in tensors.items()]
    entries += [_state_input(f"momentum.{name}", tensors[name]) for name in momenta]
    return sorted(entries, key=lambda entry: entry.name)


def _state_input(name: str, tensor: Tensor) -> Input:
    if tensor.dtype not in DTYPE_NAMES:
        raise UnsupportedInitialiser(f"{name} is {tensor.dtype}; state tensors are float32, int32 or uint8")
    return Input(kind="state", name=name, dtype=DTYPE_NAMES[tensor.dtype], shape=tuple(tensor.shape))


def _batch_input(field: Field, batch_size: int) -> Input:
    return Input(kind="batch", name=field.name, dtype=field.dtype, shape=(batch_size, *field.shape))


def _train_program(
    model: nn.Module,
    loss: Loss,
    fields: Sequence[Field],
    batch_size: int,
    prepare: Preprocess,
    settings: _Sgd,
    tensors: Mapping[str, Tensor],
) -> Program:
    trained = sorted(settings.trained)

    def step(state: dict[str, Tensor], inputs: Tensor, target: Tensor) -> list[Tensor]:
        output = functional_call(model, state, (prepare(inputs),))
        value = loss(output, target.long() if target.dtype == torch.int32 else target)
        return [value, *torch.autograd.grad(value, [state[name] for name in trained], materialize_grads=True)]

    batch = [_batch_input(field, batch_size) for field in fields[:2]]
    rate = Input(kind="scalar", name=RATE, dtype="f32", shape=())
    builder = Builder([*_state_inputs(tensors, settings.buffers()), *batch, rate])
    numbers = {source.name: Ref(value) for value, source in enumerate(builder.inputs)}
    was_training = model.training
    model.train()
    try:
        loss_ref, *gradients = _lower_function(model, builder, step, tensors, trained, batch, numbers)
    finally:
        model.train(was_training)
    if builder.shape(loss_ref) != ():
        raise UnsupportedOperator("loss", "the loss function", f"gives shape {builder.shape(loss_ref)}, not one number")
    state = {f"model.{name}": numbers[f"model.{name}"].value for name in tensors}
    for name, gradient in zip(trained, gradients, strict=True):
        parameter = numbers[f"model.{name}"]
        buffer = numbers.get(f"momentum.{name}") or builder.constant(0.0, builder.shape(parameter))
        operands = [parameter, gradient, buffer, numbers[RATE]]
        new_buffer, new_parameter = builder.emit_all("sgd", operands, settings.attributes)
        state[f"model.{name}"] = new_parameter.value
        if settings.momentum:
            state[f"momentum.{name}"] = new_buffer.value
    return builder.program(state, {"loss": loss_ref.value})


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
    model: nn.Module, settings: _Sgd, tensors: Mapping[str, Tensor], initial: Mapping[str, tuple[float, float]]
) -> Program:
    builder = Builder([Input(kind="key", name="key", dtype="u32", shape=(2,))])
    state = {}
    for name in sorted(tensors):
        state[f"model.{name}"] = _initialise(builder, model, name, tensors[name], initial.get(name)).value
    for name in settings.buffers():
        state[f"momentum.{name}"] = builder.constant(0.0, tuple(tensors[name].shape)).value
    return builder.program(state, {})


def _initialise(
    builder: Builder, model: nn.Module, name: str, tensor: Tensor, bounds: tuple[float, float] | None
) -> Ref:
    """Constant tensors (norms, zeroed layers) stay constant; ``nn.Linear`` draws as PyTorch does by default."""
    shape = tuple(tensor.shape)
    if bounds is None:
        first = tensor.detach().reshape(-1)[0]
        if tensor.dtype == torch.float32 and bool((tensor == first).all()):
            return builder.constant(float(first), shape)
        owner, _, kind = name.rpartition(".")
        module = model.get_submodule(owner)
        if not isinstance(module, nn.Linear) or kind not in ("weight", "bias"):
            raise UnsupportedInitialiser(
                f"{name} of {type(module).__name__} has no default here: pass initial={{{name!r}: (low, high)}}"
            )
        # kaiming_uniform_(a=sqrt(5)) is uniform within sqrt(6 / ((1 + 5) fan_in)) = 1 / sqrt(fan_in), as is the bias.
        limit = 1 / math.sqrt(module.in_features)
        _require_default(name, tensor, limit)
        bounds = -limit, limit
    return builder.emit("uniform", [Ref(0)], (float_bits(bounds[0]), float_bits(bounds[1]), *shape))


def _require_default(name: str, tensor: Tensor, limit: float) -> None:
    """Refuse a tensor that cannot have been drawn within ``limit``: the task would silently start from other weights.

    Of so many uniform draws the largest is far above nine tenths of the limit, or 10^-9 is the chance that it is not.
    """
    largest = float(tensor.detach().abs().max())
    if largest > limit * (1 + 1e-6) or (tensor.numel() >= 200 and largest < 0.9 * limit):
        raise UnsupportedInitialiser(
            f"{name} was not initialised as nn.Linear does it, within {limit:.6g} of 0: the solver draws the weights "
            f"anew, so pass initial={{{name!r}: (low, high)}}"
        )


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
    examples = [tensors[name].detach().clone().requires_grad_(flag) for name, flag in zip(names, flags, strict=True)]
    examples += [torch.zeros(source.shape, dtype=TORCH_DTYPES[source.dtype]) for source in batch]

    def flat(*arguments: Tensor) -> list[Tensor]:
        return function(dict(zip(names, arguments, strict=False)), *arguments[len(names) :])

    traced = _trace(model, flat, examples)
    graph = traced
    if any(_mutates(node) for node in traced.graph.nodes):
        graph = _trace(model, functionalize(traced, remove="mutations"), examples)
    arguments = [numbers[f"model.{name}"] for name in names] + [numbers[source.name] for source in batch]
    return _Walk(model, builder, graph, traced).run(arguments)


def _trace(model: nn.Module, function: Callable[..., Any], examples: list[Tensor]) -> torch.fx.GraphModule:
    with _quiet():
        try:
            return make_fx(function, tracing_mode="fake", record_stack_traces=True)(*examples)
        except Exception as error:  # whatever the user's code raises
            source, reason = locate_error(error, model), (str(error) or type(error).__name__).splitlines()[0]
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


def _mutates(node: torch.fx.Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


class _Walk:
    """Mutable: one pass over a traced graph that lowers node after node."""

    def __init__(
        self, model: nn.Module, builder: Builder, graph: torch.fx.GraphModule, traced: torch.fx.GraphModule
    ) -> None:
        self.model = model
        self.builder = builder
        self.graph = graph
        self.traced = traced
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
            raise UnsupportedOperator(name, self._source(node))
        result = node.meta.get("val")
        shape, dtype = (tuple(result.shape), result.dtype) if isinstance(result, Tensor) else ((), None)
        try:
            return RULES[name](self.builder, Application(tuple(args), dict(kwargs), shape, dtype))
        except Refused as refusal:
            raise UnsupportedOperator(name, self._source(node), str(refusal)) from None

    def _constant(self, node: torch.fx.Node) -> Ref:
        value = getattr(self.graph, str(node.target))
        if isinstance(value, Tensor) and value.dtype == torch.float32 and value.numel() > 0:
            first = value.reshape(-1)[0]
            if bool((value == first).all()):
                return self.builder.constant(float(first), tuple(value.shape))
        raise UnsupportedOperator(
            f"constant {node.target}", self._source(node), "a tensor made outside the model; use register_buffer"
        )

    def _source(self, node: torch.fx.Node) -> str:
        """The user's line; after functionalisation that of the first node of the same operator in the first trace."""
        if self.graph is self.traced:
            return locate(node.stack_trace or "", self.model)
        base = str(node.target).split(".")[1]
        for twin in self.traced.graph.nodes:
            parts = str(twin.target).split(".")
            if len(parts) > 1 and parts[1].rstrip("_") == base and twin.stack_trace:
                return locate(twin.stack_trace, self.model)
        return BACKWARD
