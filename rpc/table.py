"""The method table: every JSON-RPC method with its typed parameters and its documentation, and how one is called."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, get_args, get_type_hints

from rpc.errors import METHOD_NOT_FOUND, UNAVAILABLE, InvalidParameter, InvalidRequest, MethodNotFound, RpcError
from rpc.kinds import SUBSCRIPTION, Kind, WrongKind
from rpc.view import NodeView

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Method:
    """One method. ``handler`` takes the node and the parsed parameters, and returns JSON.

    That of a method with a ``notification`` returns a subscription, which ``unsubscribe`` ends. ``returns`` is the
    type of the result, or of a subscription's notifications. ``unsafe`` methods are for the operator alone.
    """

    name: str
    parameters: dict[str, Kind]
    documentation: str
    handler: Callable[..., Any]
    returns: Any
    unsafe: bool = False
    notification: str = ""
    unsubscribe: str = ""
    ends: bool = False
    """Whether it ends a subscription."""


class Sessions(Protocol):
    """Where subscriptions live: a connection that can be written to at any time."""

    def subscribe(self, method: Method, subscription: Any) -> str:
        """Take a subscription and name it."""

    def unsubscribe(self, method: Method, identity: str) -> bool:
        """End it; whether there was one."""


class MethodTable:
    """Methods by name. Mutable while the modules that declare methods are imported."""

    def __init__(self) -> None:
        self.methods: dict[str, Method] = {}

    def method(self, name: str, /, *, unsafe: bool = False, **parameters: Kind) -> Callable[[F], F]:
        """Declare ``f(node, *parameters)`` as a method; its docstring is its documentation."""

        def register(handler: F) -> F:
            documentation = _document(name, handler, parameters)
            self._add(Method(name, parameters, documentation, handler, _answer_of(name, handler), unsafe))
            return handler

        return register

    def subscription(self, name: str, unsubscribe: str, notification: str, /, **parameters: Kind) -> Callable[[F], F]:
        """Declare ``f(node, *parameters)``, which makes a subscription, and the method that ends one."""

        def register(handler: F) -> F:
            documentation = _document(name, handler, parameters)
            (told,) = get_args(_answer_of(name, handler))
            self._add(Method(name, parameters, documentation, handler, told, False, notification, unsubscribe))
            text = f"End a subscription of `{name}`; whether there was one."
            ending = {"subscription": SUBSCRIPTION}
            self._add(Method(unsubscribe, ending, text, _never, bool, False, "", "", ends=True))
            return handler

        return register

    def _add(self, method: Method) -> None:
        if method.name in self.methods:
            raise TypeError(f"{method.name} is declared twice")
        self.methods[method.name] = method

    def merge(self, other: MethodTable) -> None:
        """Take in the methods of another table."""
        for method in other.methods.values():
            self._add(method)

    def call(
        self, node: NodeView, name: str, params: Any, session: Sessions | None = None, allows_unsafe: bool = True
    ) -> Any:
        """Parse ``params`` (a list, an object, or None), call the method and return its JSON. Raises `RpcError`."""
        method = self.methods.get(name)
        if method is None:
            close = difflib.get_close_matches(name[:80], self.methods, 1)
            raise MethodNotFound(name, close[0] if close else None)
        if method.unsafe and not allows_unsafe:
            raise RpcError(METHOD_NOT_FOUND, f"{name} is unsafe and not served here; see --rpc-methods")
        arguments = _bind(method, params)
        if not (method.notification or method.ends):
            return method.handler(node, *arguments)
        if session is None:
            raise RpcError(UNAVAILABLE, f"{name} needs a WebSocket: open one at this same address")
        if method.ends:
            return session.unsubscribe(method, *arguments)
        return session.subscribe(method, method.handler(node, *arguments))


def _document(name: str, handler: Callable[..., Any], parameters: dict[str, Kind]) -> str:
    declared = list(inspect.signature(handler).parameters)[1:]
    if declared != list(parameters):
        raise TypeError(f"{name} takes {declared} but declares {list(parameters)}")
    documentation = inspect.cleandoc(handler.__doc__ or "")
    if not documentation:
        raise TypeError(f"{name} has no documentation")
    return documentation


def _answer_of(name: str, handler: Callable[..., Any]) -> Any:
    """The type that a handler says it returns. Raises `TypeError` where it does not say."""
    kind = get_type_hints(handler, include_extras=True).get("return", Any)
    if kind is Any:
        raise TypeError(f"{name} does not say what it returns")
    return kind


def _never(node: NodeView, identity: str) -> bool:
    raise AssertionError("the session ends subscriptions")


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
