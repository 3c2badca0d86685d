"""Where in the user's own files something comes from: the line that ran, or the line that made a layer.

A layer inside ``nn.Sequential`` runs without any line of the user's on the stack. So while a task file builds its
model, `noting_birthplaces` notes the line on which each layer was put into its parent.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import StackSummary
from types import FrameType
from unittest import mock
from weakref import WeakKeyDictionary

from torch import nn
from torch.fx.proxy import TracerBase
from torch.nn.modules.module import register_module_module_registration_hook

CAPTURE = "/ml/capture.py"
INSIDE = (
    "/torch/", "/unittest/", "<frozen ", CAPTURE, "/ml/capture_file.py", "/ml/locations.py", "/ml/initial.py",
    "<eval_with_key>", "<string>",
)  # fmt: skip
"""Parts of paths that are not the user's."""
BACKWARD = "the backward pass"
BIRTHPLACES: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
"""Layer -> ``file:line`` that put it into its parent. Mutable: filled by `noting_birthplaces`."""


def is_users(path: str) -> bool:
    """Whether a source file is the user's: not torch's, not ours."""
    return not any(part in path for part in INSIDE)


@contextmanager
def noting_birthplaces() -> Iterator[None]:
    """Note, for every layer that gets a parent meanwhile, the user's line that did it."""

    def note(parent: nn.Module, name: str, layer: nn.Module | None) -> None:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not is_users(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is not None and layer is not None:
            BIRTHPLACES.setdefault(layer, f"{frame.f_code.co_filename}:{frame.f_lineno}")

    handle = register_module_module_registration_hook(note)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def keeping_whole_stacks() -> Iterator[None]:
    """Let traced nodes keep every line that the capture led to; torch keeps those of functions called forward only."""

    def after_the_capture(tracer: TracerBase, summary: StackSummary) -> StackSummary:
        last = max((place for place, one in enumerate(summary) if one.filename.endswith(CAPTURE)), default=-1)
        return StackSummary.from_list(summary[last + 1 :])

    with mock.patch.object(TracerBase, "_filter_traceback_frames", after_the_capture):
        yield


def locate_error(error: BaseException, model: nn.Module) -> str:
    """Where in the model an error came up: the user's innermost line, else the innermost layer that was running."""
    lines, layer, names = [], "", {id(module): name for name, module in model.named_modules() if name}
    traceback = error.__traceback__
    while traceback is not None:
        path, runner = traceback.tb_frame.f_code.co_filename, traceback.tb_frame.f_locals.get("self")
        lines.append((path, traceback.tb_lineno))
        if isinstance(runner, nn.Module) and id(runner) in names:
            layer = _describe(names[id(runner)], runner)
        traceback = traceback.tb_next
    own = [f"{path}:{line}" for path, line in lines if is_users(path)]
    return own[-1] if own else layer or f"{lines[-1][0]}:{lines[-1][1]}"


def locate(stack_trace: str, model: nn.Module) -> str:
    """The user's innermost line of a stack trace; without one, the layer that ran and the line that made it."""
    frames = re.findall(r'File "([^"]+)", line (\d+)', stack_trace)
    own = [f"{path}:{line}" for path, line in frames if is_users(path)]
    if own:
        return own[-1]
    for path, _ in reversed(frames):
        layers = [(name, layer) for name, layer in model.named_modules() if name and _defined_in(layer, path)]
        if layers:
            return " or ".join(_describe(name, layer) for name, layer in layers)
    if not frames or any("/torch/autograd/" in path for path, _ in frames):
        return BACKWARD
    return f"{frames[-1][0]}:{frames[-1][1]}"


def _defined_in(layer: nn.Module, path: str) -> bool:
    return getattr(sys.modules.get(type(layer).__module__), "__file__", None) == path


def _describe(name: str, layer: nn.Module) -> str:
    what = f"layer {name} ({type(layer).__name__})"
    return f"{BIRTHPLACES[layer]}, {what}" if layer in BIRTHPLACES else what
