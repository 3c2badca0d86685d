"""``solvent testnet``: a network of one's own: keys, genesis and commands for each node, and all of them at once."""

from __future__ import annotations

import os
import shlex
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import click

from cli.demo_processes import Family
from cli.output import console, fail, say
from node.keystore import Keystore, read_password, write_private
from node.networks import Validator, build_network_genesis, load_node_key
from p2p.interface import Limits
from runtime.crypto import public_key
from runtime.errors import SolventError
from runtime.genesis import canonical_json
from solvent.client import Client, ClientError

STATUS_SECONDS = 5.0
START_SECONDS = 120.0
LOOPBACK = "127.0.0.1"
FULL = "rpc"
WORKERS = {"solver": "//Solver", "verifier": "//Verifier", "whistleblower": "//Whistleblower"}
"""The roles that ``--workers`` starts, and the development account of each."""


@dataclass(frozen=True, slots=True)
class Member:
    """One node of the network: its name, which is also its folder, its ports, and its identity as a peer.

    A validator also has the file with the password of its keys. ``host`` is the address it is found at.
    """

    name: str
    port: int
    rpc_port: int
    peer: str
    password_file: Path | None = None
    host: str = LOOPBACK
    metrics_port: int | None = None

    @property
    def address(self) -> str:
        """Where the other nodes find it."""
        return f"/ip4/{self.host}/tcp/{self.port}/p2p/{self.peer}"

    @property
    def url(self) -> str:
        """Where it answers RPC."""
        return f"http://{self.host}:{self.rpc_port}"

    @property
    def is_validator(self) -> bool:
        return self.password_file is not None


def write_network(
    folder: Path,
    ports: Sequence[tuple[int, int]],
    password_file: Path | None = None,
    parameters: dict[str, Any] | None = None,
    metrics_ports: Sequence[int] = (),
) -> list[Member]:
    """Write all that a network needs with one node at each pair of (network, RPC) ports: validators, then a full node.

    The password in ``password_file`` opens every key; without it each validator has a password of its own, in its
    folder. ``parameters`` overrides those of the preset, group by group; without ``metrics_ports`` no metrics are
    served. Returns the members in that order.
    """
    password = None if password_file is None else read_password(password_file)
    validators: list[Validator] = []
    members: list[Member] = []
    for number, (port, rpc_port) in enumerate(ports[:-1], start=1):
        name = f"validator-{number}"
        validators.append(_write_keys(folder / name, password))
        opens = (password_file or folder / name / "password").resolve()
        members.append(Member(name, port, rpc_port, _peer_id(folder / name), opens))
    members.append(Member(FULL, *ports[-1], _peer_id(folder / FULL)))
    if metrics_ports:
        members = [replace(member, metrics_port=own) for member, own in zip(members, metrics_ports, strict=True)]
    genesis = build_network_genesis(f"testnet-{os.urandom(4).hex()}", "Solvent Testnet", validators, int(time.time()))
    genesis["parameters"] = parameters or {}
    (folder / "genesis.json").write_text(canonical_json(genesis), encoding="utf-8")
    lines = ["#!/bin/sh", "# One node a line: run each in a terminal, or on a machine, of its own.", "exit 1", ""]
    lines += [shlex.join(["solvent", *arguments_of(folder.resolve(), member, members)]) for member in members]
    (folder / "commands.sh").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return members


def _write_keys(folder: Path, password: str | None) -> Validator:
    """A new account and a new session key for a validator; both open with the password, made up unless it is given."""
    folder.mkdir(parents=True)
    account, session = os.urandom(32), os.urandom(32)
    if password is None:
        password = os.urandom(16).hex()
        write_private(folder / "password", password.encode() + b"\n")
    Keystore(folder / "keystore").insert(session, password)
    Keystore(folder / "account").insert(account, password)
    return Validator(public_key(account), public_key(session))


def _peer_id(folder: Path) -> str:
    from p2p.host import SocketHost  # the network library takes a second to load

    return SocketHost(load_node_key(folder / "network"), "", ()).id


def arguments_of(folder: Path, member: Member, members: list[Member]) -> list[str]:
    """What ``solvent`` is called with to run a member: a full node, or a validator with its keys."""
    arguments = ["node", "--chain", str(folder / "genesis.json"), "--base-path", str(folder / member.name)]
    arguments += ["--name", member.name, "--listen-addr", f"/ip4/{member.host}/tcp/{member.port}"]
    arguments += ["--rpc-port", str(member.rpc_port)]
    arguments += [] if member.host == LOOPBACK else ["--rpc-external"]
    if member.metrics_port is None:
        arguments += ["--no-prometheus"]
    else:
        arguments += ["--prometheus-port", str(member.metrics_port)]
    if len(members) > Limits().connections_per_address:
        arguments += ["--connections-per-address", str(2 * len(members))]  # of two that dial each other, one stays
    if member.password_file is not None:
        arguments += ["--validator", "--password-file", str(member.password_file)]
    for other in members:
        if other != member and other.is_validator:
            arguments += ["--bootnodes", other.address]
    return arguments


def worker_arguments(folder: Path, role: str, member: Member) -> list[str]:
    """What ``solvent`` is called with to run a worker of that role, attached to a member."""
    arguments = ["worker", role, "--suri", WORKERS[role], "--url", member.url]
    return [*arguments, "--work-dir", str(folder / "workers")]


@click.command(name="testnet")
@click.argument("validators", type=click.IntRange(1, 32))
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder to write to; it must be new.")
@click.option("--run", "start", is_flag=True, help="Run all nodes on this machine until Ctrl-C.")
@click.option(
    "--keystore-password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the password for all keys; else each validator gets one of its own, written into its folder.",
)
@click.option("--workers", is_flag=True, help="With --run: a solver, a verifier and a whistleblower as well.")
@click.option("--port", default=30333, show_default=True, help="Of the full node; validators have the next ones.")
@click.option("--rpc-port", default=9944, show_default=True, help="Of the full node; validators have the next ones.")
@click.option("--prometheus-port", default=9615, show_default=True, help="The same for metrics.")
def command(
    validators: int,
    out: Path | None,
    start: bool,
    keystore_password_file: Path | None,
    workers: bool,
    port: int,
    rpc_port: int,
    prometheus_port: int,
) -> None:
    """Make a network of VALIDATORS validators and one full node: keys, genesis, and the command for each node.

    Development accounts such as //Alice have tokens on it, which are worth nothing. With --run it runs at once; with
    --run and without --out it leaves nothing behind.
    """
    if out is None and not start:
        raise click.UsageError(
            "say where to write with --out DIR, or add --run for a network that leaves nothing behind"
        )
    if workers and not start:
        raise click.UsageError("--workers starts processes: add --run")
    if workers and find_spec("numpy") is None:
        fail("workers need the machine learning part of Solvent: pip install 'solvent[ml]'")
    if out is not None and out.exists() and any(out.iterdir()):
        fail(f"{out} is not empty; choose a new folder, or start its nodes with the commands in {out}/commands.sh")
    with tempfile.TemporaryDirectory(prefix="solvent-testnet-", ignore_cleanup_errors=True) as temporary:
        folder = out or Path(temporary)
        try:
            say(f"Making keys for {validators} validators ...")
            order = [*range(1, validators + 1), 0]
            ports = [(port + number, rpc_port + number) for number in order]
            metrics_ports = [prometheus_port + number for number in order]
            members = write_network(folder, ports, keystore_password_file, metrics_ports=metrics_ports)
            if start:
                run_network(folder, members, workers)
            else:
                say(f"Wrote {folder}: genesis.json, a folder for each node, and {folder / 'commands.sh'}")
        except (SolventError, OSError) as error:
            fail(str(error))


def run_network(folder: Path, members: list[Member], workers: bool) -> None:
    """Run all members as processes and tell how they do, until Ctrl-C or until one of them ends."""
    previous = signal.signal(signal.SIGTERM, _interrupt)
    clients = {member.name: Client(member.url, patience=0.0) for member in members}
    try:
        with Family(folder / "logs") as family:
            for member in members:
                family.start(member.name, *arguments_of(folder, member, members))
            say(f"Starting {len(members)} nodes; their logs are in {folder / 'logs'} ...")
            _wait_until_all_answer(clients, family)
            if workers:
                for number, role in enumerate(WORKERS):
                    family.start(role, *worker_arguments(folder, role, members[number % len(members)]))
            _welcome(members[-1], workers)
            while True:
                _fail_if_any_died(family)
                console.print(f"{time.strftime('%H:%M:%S')}  {describe(clients)}")
                time.sleep(STATUS_SECONDS)
    except KeyboardInterrupt:
        say("Stopped.")
    finally:
        signal.signal(signal.SIGTERM, previous)
        for client in clients.values():
            client.close()


def _welcome(full: Member, workers: bool) -> None:
    """What somebody who just started a network may do with it."""
    say(f"RPC      {full.url} (full node; validators have the ports after it)")
    say(f"Try      solvent tx transfer --from //Alice --to //Bob 5 --url {full.url}")
    if workers:
        say(f"Workers  {', '.join(f'{role} as {suri}' for role, suri in WORKERS.items())}, each at another node")
        say(f"Try      solvent task submit examples/mnist.py --suri //Submitter --url {full.url}")
    say("Ctrl-C stops everything.\n")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail_if_any_died(family: Family) -> None:
    for child in family.dead():
        family.stop_all()
        fail(f"{child.name} ended by itself:\n{child.tail()}")


def _wait_until_all_answer(clients: dict[str, Client], family: Family) -> None:
    deadline = time.monotonic() + START_SECONDS
    waiting = dict(clients)
    while waiting:
        _fail_if_any_died(family)
        if time.monotonic() > deadline:
            fail(f"{', '.join(waiting)} did not start within {START_SECONDS:.0f} seconds")
        for name, client in list(waiting.items()):
            try:
                client.head()
                del waiting[name]
            except ClientError:
                time.sleep(0.2)


def describe(clients: dict[str, Client]) -> str:
    """How high the chain is, how much of it is final, and who lags behind."""
    heights: dict[str, tuple[int, int]] = {}
    for name, client in clients.items():
        try:
            heights[name] = (client.head().number, client.finalized_number())
        except ClientError:
            continue
    if not heights:
        return "no node answers"
    best, final = max(best for best, _ in heights.values()), max(final for _, final in heights.values())
    late = [f"{name} at #{own} (final #{done})" for name, (own, done) in heights.items() if best - own > 2]
    silent = [f"{name} does not answer" for name in clients if name not in heights]
    together = [] if late or silent else ["all nodes together"]
    return "; ".join([f"best #{best}, final #{final}", *late, *silent, *together])
