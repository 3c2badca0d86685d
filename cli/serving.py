"""What a node serves, as options of the commands that run one: one decorator, one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Serving:
    """The options as given; None where the kind of node decides."""

    index: bool | None


def serving_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, and hand them to the command as ``serving``."""

    @click.option(
        "--index/--no-index", default=None, help="Keep an index for the explorer: the default but for validators."
    )
    @wraps(function)
    def command(index: bool | None, **others: Any) -> Any:
        return function(serving=Serving(index), **others)

    return command
