"""What the leaves of an answer are: strings in a fixed form, and pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypedDict, TypeVar

from runtime.codec import Record

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a string: its name in the documents, and a regular expression."""

    name: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """Marks an object as what `rpc.render.render_record` makes of that record."""

    record: type[Record]


HashJson = Annotated[str, Form("hash", "^0x[0-9a-f]{64}$")]
BytesJson = Annotated[str, Form("bytes", "^0x([0-9a-f]{2})*$")]
BitsJson = Annotated[str, Form("hex", "^0x[0-9a-f]+$")]
"""The bits of a scalar, as many digits as it has."""
HeightJson = Annotated[str, Form("height", "^0x[0-9a-f]+$")]
"""A block's number."""
AccountJson = Annotated[str, Form("account", "^[1-9A-HJ-NP-Za-km-z]{46,48}$")]
AmountJson = Annotated[str, Form("decimal", "^[0-9]+$")]
"""Money in units, gas, weight, heights within records: any integer that may be beyond 2^53."""
TimeJson = int | None
"""Milliseconds since 1970; null for genesis and where the block is not kept."""
LossJson = float | str
"""A number, or ``NaN``, ``Infinity`` or ``-Infinity``, which JSON has no numbers for."""
ObjectJson = dict[str, Any]
"""An object whose fields the runtime's metadata describes."""


class PageJson(TypedDict, Generic[T]):
    """A page of a list; ``next`` is the cursor of the following one, null on the last.

    ``indexedFrom`` is the height from which on this node knows such things: 0x0 unless it has joined by a warp or has
    dropped its older blocks, and then what was before is missing from the list.
    """

    items: list[T]
    next: str | None
    indexedFrom: HeightJson | None
