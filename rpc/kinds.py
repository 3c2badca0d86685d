"""Kinds of parameters: how JSON becomes a Python value, and how the kind is described to people and in schemas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from runtime.crypto import from_ss58
from runtime.errors import SolventError

MAX_PAGE = 1000
"""Most keys, blocks or hashes that one call returns."""


class WrongKind(SolventError):
    """The JSON value is not of the kind the parameter asks for."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of parameter. ``parse`` raises `WrongKind`."""

    name: str
    schema: dict[str, Any]
    parse: Callable[[Any], Any]
    optional: bool = False


def optional(kind: Kind) -> Kind:
    """The same kind, for a parameter that may be missing or null."""
    return replace(kind, optional=True)


def list_of(kind: Kind, longest: int) -> Kind:
    """A list of at most ``longest`` values of ``kind``."""

    def parse(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise WrongKind(f"expected a list, got {describe(value)}")
        if len(value) > longest:
            raise WrongKind(f"{len(value)} items; at most {longest} are allowed")
        return [_parse_item(index, item) for index, item in enumerate(value)]

    def _parse_item(index: int, item: Any) -> Any:
        try:
            return kind.parse(item)
        except WrongKind as error:
            raise WrongKind(f"item {index}: {error}") from None

    schema = {"type": "array", "items": kind.schema, "maxItems": longest}
    return Kind(f"list of {kind.name}", schema, parse)


def one_or_many(kind: Kind, longest: int) -> Kind:
    """Either one value or a list of them; a list stays a list."""
    many = list_of(kind, longest)

    def parse(value: Any) -> Any:
        return many.parse(value) if isinstance(value, list) else kind.parse(value)

    return Kind(f"{kind.name} or {many.name}", {"oneOf": [kind.schema, many.schema]}, parse)


def describe(value: Any) -> str:
    """A JSON value in a few words, for messages."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return f"the string {value[:40]!r}{'...' if len(value) > 40 else ''}"
    if isinstance(value, int | float):
        return "a number"
    return "a list" if isinstance(value, list) else "an object"


def _parse_hex(value: Any) -> bytes:
    if not isinstance(value, str):
        raise WrongKind(f"expected a 0x hex string, got {describe(value)}")
    if not value.startswith("0x"):
        raise WrongKind(f"hex starts with 0x, got {describe(value)}")
    digits = value[2:]
    if len(digits) % 2 or not digits.isascii() or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        raise WrongKind(f"not an even number of hex digits: {describe(value)}")
    return bytes.fromhex(digits)


def _parse_hash(value: Any) -> bytes:
    data = _parse_hex(value)
    if len(data) != 32:
        raise WrongKind(f"a hash has 32 bytes, this is {len(data)}")
    return data


def _parse_number(value: Any) -> int:
    """A block number or count: a JSON integer, or a 0x hex number."""
    if isinstance(value, str) and value.startswith("0x") and 3 <= len(value) <= 18:
        try:
            return int(value[2:], 16)
        except ValueError:
            raise WrongKind(f"not a hex number: {describe(value)}") from None
    if isinstance(value, bool) or not isinstance(value, int):
        raise WrongKind(f"expected a number or a 0x hex number, got {describe(value)}")
    if not 0 <= value < 2**63:
        raise WrongKind("the number is out of range")
    return value


def _parse_count(value: Any) -> int:
    count = _parse_number(value)
    if count > MAX_PAGE:
        raise WrongKind(f"{count} is more than the {MAX_PAGE} that one call returns")
    return count


def _parse_account(value: Any) -> bytes:
    if not isinstance(value, str):
        raise WrongKind(f"expected an SS58 address, got {describe(value)}")
    if value.startswith("0x"):
        return _parse_hash(value)
    try:
        return from_ss58(value)
    except SolventError as error:
        raise WrongKind(str(error)) from None


HEX = Kind("bytes", {"type": "string", "pattern": "^0x([0-9a-fA-F]{2})*$"}, _parse_hex)
HASH = Kind("hash", {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$"}, _parse_hash)
NUMBER = Kind("number", {"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string"}]}, _parse_number)
COUNT = Kind("count", {"type": "integer", "minimum": 0, "maximum": MAX_PAGE}, _parse_count)
ACCOUNT = Kind("account", {"type": "string", "description": "SS58 address, or 0x and 64 hex digits"}, _parse_account)


MAX_TEXT = 256


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise WrongKind(f"expected a string, got {describe(value)}")
    if len(value) > MAX_TEXT:
        raise WrongKind(f"{len(value)} characters; at most {MAX_TEXT} are allowed")
    return value


def one_of(*words: str) -> Kind:
    """One of a few words."""

    def parse(value: Any) -> str:
        if value not in words or not isinstance(value, str):
            raise WrongKind(f"expected one of {', '.join(words)}; got {describe(value)}")
        return value

    return Kind("word", {"type": "string", "enum": list(words)}, parse)


def _parse_number_or_hash(value: Any) -> int | bytes:
    if isinstance(value, str) and value.startswith("0x") and len(value) == 66:
        return _parse_hash(value)
    return _parse_number(int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 19 else value)


TEXT = Kind("text", {"type": "string", "maxLength": MAX_TEXT}, _parse_text)
NUMBER_OR_HASH = Kind("number or hash", {"oneOf": [NUMBER.schema, HASH.schema]}, _parse_number_or_hash)


def _parse_subscription(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 64:
        raise WrongKind(f"expected the id that the subscription was answered with, got {describe(value)}")
    return value


SUBSCRIPTION = Kind("subscription", {"type": "string", "maxLength": 64}, _parse_subscription)
