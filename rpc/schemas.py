"""JSON schemas and short names of the shapes of answers, both made of their Python types.

A typed dictionary becomes a component of its own, named after its class without ``Json``; the rest is written in place.
"""

from __future__ import annotations

import inspect
import types
from typing import Any, Literal, NotRequired, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from rpc.answers.words import Form, Rendered
from runtime.codec import Record

Schema = dict[str, Any]
COMPONENTS = "#/components/schemas/"
_PRIMITIVES: dict[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
_BYTES = {"type": "string", "pattern": "^0x([0-9a-f]{2})*$"}
_DECIMAL = {"type": "string", "pattern": "^-?[0-9]+$"}


class Components:
    """Collects the components that schemas refer to. Mutable."""

    def __init__(self) -> None:
        self.schemas: dict[str, Schema] = {}
        self.kinds: dict[str, Any] = {}
        """Name of a typed dictionary -> itself."""

    def schema(self, kind: Any) -> Schema:
        """The schema of a type. Raises `TypeError` for one that no answer has."""
        origin, arguments = get_origin(kind), get_args(kind)
        if kind is Any:
            return {}
        if kind in _PRIMITIVES:
            return {"type": _PRIMITIVES[kind]}
        if hasattr(kind, "__metadata__"):
            return self._marked(arguments[0], kind.__metadata__[0])
        if origin in (Union, types.UnionType):
            return {"anyOf": [self.schema(each) for each in arguments]}
        if origin is Literal:
            return {"type": "string", "enum": list(arguments)}
        if origin is NotRequired:
            return self.schema(arguments[0])
        if origin is list:
            return {"type": "array", "items": self.schema(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.schema(arguments[1])}
        if is_typeddict(origin or kind):
            return self._refer(kind)
        raise TypeError(f"no schema for {kind!r}")

    def _marked(self, kind: Any, mark: Any) -> Schema:
        if isinstance(mark, Form):
            return {"type": "string", "pattern": mark.pattern}
        if isinstance(mark, Rendered):
            return self._refer(mark.record)
        return self.schema(kind)

    def _refer(self, kind: Any) -> Schema:
        name = name_of(kind)
        if name not in self.schemas:
            self.schemas[name], self.kinds[name] = {}, kind
            self.schemas[name] = _record(kind) if _is_record(kind) else self._object(kind)
        return {"$ref": COMPONENTS + name}

    def _object(self, kind: Any) -> Schema:
        cls = get_origin(kind) or kind
        fields = fields_of(kind)
        return {
            "type": "object",
            "description": inspect.cleandoc(cls.__doc__ or "").replace("\n", " "),
            "properties": {name: self.schema(each) for name, each in fields.items()},
            "required": [name for name, each in fields.items() if is_required(kind, name, each)],
            "additionalProperties": False,
        }


def fields_of(kind: Any) -> dict[str, Any]:
    """The fields of a typed dictionary with their types, those of its bases first."""
    cls = get_origin(kind) or kind
    bound: dict[Any, Any] = dict(zip(getattr(cls, "__parameters__", ()), get_args(kind), strict=False))
    return {name: _bind(each, bound) for name, each in get_type_hints(cls, include_extras=True).items()}


def is_required(kind: Any, name: str, field: Any) -> bool:
    """Whether every such object has that field."""
    return name in (get_origin(kind) or kind).__required_keys__ and get_origin(field) is not NotRequired


def _bind(kind: Any, bound: dict[Any, Any]) -> Any:
    """The type with its type variables replaced."""
    if isinstance(kind, TypeVar):
        return bound[kind]
    if get_origin(kind) is list:
        return list[_bind(get_args(kind)[0], bound)]  # type: ignore[misc]
    return kind


def name_of(kind: Any) -> str:
    """How a type is called in the documents: ``Page of BlockSummary``'s component is ``PageOfBlockSummary``."""
    cls, arguments = get_origin(kind) or kind, get_args(kind)
    name: str = cls.__name__.removesuffix("Json")
    return name + (f"Of{name_of(arguments[0])}" if arguments else "")


def describe_type(kind: Any) -> str:
    """A type in a few words, for people."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return "anything"
    if kind in _PRIMITIVES:
        return _PRIMITIVES[kind]
    if hasattr(kind, "__metadata__"):
        mark = kind.__metadata__[0]
        return mark.name if isinstance(mark, Form) else _link(mark.record)
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(each) for each in arguments)
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    if origin is list:
        return f"list of {describe_type(arguments[0])}"
    if origin is NotRequired:
        return describe_type(arguments[0])
    if origin is dict:
        return "object"
    return f"page of {describe_type(arguments[0])}" if arguments else _link(kind)


def _link(kind: Any) -> str:
    return f"[{name_of(kind)}](#{name_of(kind).lower()})"


# --- records of the runtime, as `rpc.render.render_record` shows them


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record)


def _record(kind: type[Record]) -> Schema:
    written = {
        name: each for base in reversed(kind.__mro__) for name, each in vars(base).get("__annotations__", {}).items()
    }
    fields = get_type_hints(kind)
    properties = {
        name: {"type": "string"} if written[name] == "AccountId" else _rendered(fields[name])
        for name in kind.__struct_fields__
    }
    return {
        "type": "object",
        "description": inspect.cleandoc(kind.__doc__ or "").split("\n\n")[0].replace("\n", " "),
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _rendered(kind: Any) -> Schema:
    """The schema of what `rpc.render.render_value` makes of a value of that type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is bytes:
        return _BYTES
    if kind is int:
        return _DECIMAL
    if kind in (bool, str, type(None)):
        return {"type": _PRIMITIVES[kind]}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_rendered(each) for each in arguments]}
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin is tuple and arguments[1:] == (...,):
        return {"type": "array", "items": _rendered(arguments[0])}
    if origin is tuple:
        return {"type": "array", "items": [_rendered(each) for each in arguments], "additionalItems": False}
    if _is_record(kind):
        return _record(kind)
    if isinstance(kind, type) and issubclass(kind, str):
        return {"type": "string", "enum": [str(each) for each in kind]}  # type: ignore[attr-defined]
    raise TypeError(f"no schema for {kind!r}")
