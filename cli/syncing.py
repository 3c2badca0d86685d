"""How a node gets the chain and how much of it it keeps, as options: one decorator, one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from cli.output import BLOCK_HASH
from node.config import LEAST_WINDOW

ARCHIVE = "archive"


class Window(click.ParamType[int | str]):
    """A number of blocks, or ``archive`` for all of them (None)."""

    name = f"N|{ARCHIVE}"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value == ARCHIVE or (isinstance(value, int) and value >= LEAST_WINDOW):
            return value  # type: ignore[no-any-return]
        if not str(value).isdecimal() or int(value) < LEAST_WINDOW:
            self.fail(f"{value!r} is neither {ARCHIVE} nor a number of blocks from {LEAST_WINDOW} on", param, ctx)
        return int(value)


@dataclass(frozen=True, slots=True)
class Syncing:
    """The options as given; windows are None for all blocks."""

    warp: bool
    checkpoint: bytes | None
    state_window: int | None
    block_window: int | None


def syncing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, and hand them to the command as ``syncing``."""

    @click.option(
        "--sync",
        type=click.Choice(["full", "warp"]),
        default="full",
        show_default=True,
        help="Execute every block, or begin with the state of a final one and check only who voted.",
    )
    @click.option("--checkpoint", type=BLOCK_HASH, help="A recent block that you trust, where a warp needs one.")
    @click.option(
        "--state-pruning", type=Window(), default=4096, show_default=True, help="Past blocks whose state is kept."
    )
    @click.option(
        "--blocks-pruning", type=Window(), default=ARCHIVE, show_default=True, help="Final blocks that are kept."
    )
    @wraps(function)
    def command(
        sync: str, checkpoint: bytes | None, state_pruning: int | str, blocks_pruning: int | str, **others: Any
    ) -> Any:
        if checkpoint is not None and sync != "warp":
            raise click.UsageError("--checkpoint is for --sync warp; a full sync checks every block by itself")
        state, blocks = (None if window == ARCHIVE else int(window) for window in (state_pruning, blocks_pruning))
        return function(syncing=Syncing(sync == "warp", checkpoint, state, blocks), **others)

    return command
