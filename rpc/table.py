"""The method table: every JSON-RPC method with its typed parameters and its documentation, and how one is called."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from rpc.errors import InvalidParameter, InvalidRequest, MethodNotFound
from rpc.kinds import Kind, WrongKind
from rpc.view import NodeView

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Method:
    """One method. ``handler`` takes the node and the parsed parameters, and returns JSON."""

    name: str
    parameters: dict[str, Kind]
    documentation: str
    handler: Callable[..., Any]


class MethodTable:
    """Methods by name. Mutable while the modules that declare methods are imported."""

    def __init__(self) -> None:
        self.methods: dict[str, Method] = {}

    def method(self, name: str, **parameters: Kind) -> Callable[[F], F]:
        """Declare ``f(node, *parameters)`` as a method; its docstring is its documentation."""

        def register(handler: F) -> F:
            declared = list(inspect.signature(handler).parameters)[1:]
            if declared != list(parameters):
                raise TypeError(f"{name} takes {declared} but declares {list(parameters)}")
            documentation = inspect.cleandoc(handler.__doc__ or "")
            if name in self.methods or not documentation:
                raise TypeError(f"{name} is declared twice or has no documentation")
            self.methods[name] = Method(name, parameters, documentation, handler)
            return handler

        return register

    def merge(self, other: MethodTable) -> None:
        """Take in the methods of another table."""
        for name, method in other.methods.items():
            if name in self.methods:
                raise TypeError(f"{name} is declared twice")
            self.methods[name] = method

    def call(self, node: NodeView, name: str, params: Any) -> Any:
        """Parse ``params`` (a list, an object, or None), call the method and return its JSON. Raises `RpcError`."""
        method = self.methods.get(name)
        if method is None:
            close = difflib.get_close_matches(name[:80], self.methods, 1)
            raise MethodNotFound(name, close[0] if close else None)
        return method.handler(node, *_bind(method, params))


def _bind(method: Method, params: Any) -> list[Any]:
    names = list(method.parameters)
    if params is None:
        params = []
    if isinstance(params, list):
        if len(params) > len(names):
            raise InvalidParameter(f"#{len(names)}", f"{method.name} takes at most {len(names)} parameters")
        given = dict(zip(names, params, strict=False))
    elif isinstance(params, dict):
        unknown = next((name for name in params if name not in names), None)
        if unknown is not None:
            raise InvalidParameter(unknown[:80], f"{method.name} takes {', '.join(names) or 'no parameters'}")
        given = params
    else:
        raise InvalidRequest("params must be a list or an object")
    return [_parse(name, kind, given.get(name)) for name, kind in method.parameters.items()]


def _parse(name: str, kind: Kind, value: Any) -> Any:
    if value is None:
        if kind.optional:
            return None
        raise InvalidParameter(name, f"missing; expected {kind.name}")
    try:
        return kind.parse(value)
    except WrongKind as error:
        raise InvalidParameter(name, str(error)) from None
