"""What a node serves, as options of the commands that run one: one decorator, one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from rpc.settings import RpcLimits, RpcSettings

DEFAULTS = RpcLimits()
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Serving:
    """The options as given. ``index`` is None where the kind of node decides, ``prometheus_port`` where none is
    served."""

    index: bool | None = None
    methods: str = "auto"
    cors: tuple[str, ...] = ()
    limits: RpcLimits = DEFAULTS
    prometheus_port: int | None = None
    prometheus_external: bool = False
    log_format: str = "text"

    def settings(self, is_external: bool) -> RpcSettings:
        """For the RPC server; ``auto`` serves unsafe methods to this machine only."""
        allows_unsafe = self.methods == "unsafe" or (self.methods == "auto" and not is_external)
        return RpcSettings(self.limits, self.cors, allows_unsafe)


def _split(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(origin.strip() for origin in (value or "").split(",") if origin.strip())


_OPTIONS = (
    click.option(
        "--index/--no-index", default=None, help="Keep an index for the explorer: the default but for validators."
    ),
    click.option(
        "--rpc-methods",
        "methods",
        type=click.Choice(["auto", "safe", "unsafe"]),
        default="auto",
        show_default=True,
        help="Serve unsafe methods: auto does unless --rpc-external.",
    ),
    click.option(
        "--rpc-cors",
        "cors",
        callback=_split,
        metavar="ORIGINS",
        help="Web pages that may ask, by comma, or all; pages of this machine always may.",
    ),
    click.option("--rpc-max-connections", default=DEFAULTS.connections, show_default=True, type=click.IntRange(1)),
    click.option(
        "--rpc-max-subscriptions-per-connection",
        default=DEFAULTS.subscriptions,
        show_default=True,
        type=click.IntRange(0),
    ),
    click.option(
        "--rpc-max-request-size",
        default=DEFAULTS.message_bytes // MIB,
        show_default=True,
        type=click.IntRange(1, 64),
        help="In MiB.",
    ),
    click.option("--rpc-max-batch", default=DEFAULTS.batch, show_default=True, type=click.IntRange(1)),
    click.option(
        "--rpc-max-held",
        default=DEFAULTS.held_bytes // MIB,
        show_default=True,
        type=click.IntRange(1),
        help="MiB of requests and answers that all connections together may make the node hold.",
    ),
    click.option("--rpc-rate-limit", type=click.IntRange(1), help="Calls a minute from one address; no limit without."),
    click.option("--prometheus-port", default=9615, show_default=True, type=click.IntRange(0, 65535)),
    click.option("--prometheus-external", is_flag=True, help="Serve metrics on all interfaces."),
    click.option("--no-prometheus", is_flag=True, help="Serve no metrics."),
    click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True),
)


def serving_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options, and hand them to the command as ``serving``."""

    @wraps(function)
    def command(**given: Any) -> Any:
        limits = RpcLimits(
            given.pop("rpc_max_connections"),
            given.pop("rpc_max_subscriptions_per_connection"),
            given.pop("rpc_max_request_size") * MIB,
            given.pop("rpc_max_batch"),
            given.pop("rpc_rate_limit"),
            given.pop("rpc_max_held") * MIB,
        )
        port = given.pop("prometheus_port")
        serving = Serving(
            index=given.pop("index"),
            methods=given.pop("methods"),
            cors=given.pop("cors"),
            limits=limits,
            prometheus_port=None if given.pop("no_prometheus") else port,
            prometheus_external=given.pop("prometheus_external"),
            log_format=given.pop("log_format"),
        )
        return function(serving=serving, **given)

    for option in reversed(_OPTIONS):
        command = option(command)
    return command
