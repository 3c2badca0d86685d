"""What a node serves to whom, and how much: values, so that a program may name them without loading a server."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """Bounds of what callers may ask for. ``rate`` is calls a minute from one address, None for no bound.

    ``held_bytes`` bounds what all connections together make the node hold: messages that have not come whole or are not
    answered yet, and answers that are not read yet. Past it whoever holds more than an equal share is cut off.
    """

    connections: int = 128
    subscriptions: int = 128
    message_bytes: int = 8 * 1024 * 1024
    batch: int = 256
    rate: int | None = None
    held_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """What is served to whom. ``origins`` are the web pages that may ask, see `rpc.origins`."""

    limits: RpcLimits = field(default_factory=RpcLimits)
    origins: tuple[str, ...] = ()
    allows_unsafe: bool = True
