"""A network of real processes on the loopback interface, and patience with it."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cli.demo_processes import Family
from cli.testnet import Member, arguments_of, write_network
from solvent.client import Client, ClientError

PATIENCE = 120.0


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on, all different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class Network:
    """Validators and one full node, the last. Mutable: nodes are killed and started again."""

    def __init__(self, folder: Path, validators: int, family: Family, parameters: dict[str, Any] | None = None) -> None:
        ports = free_ports(2 * (validators + 1))
        self.folder, self.family = folder, family
        pairs = list(zip(ports[::2], ports[1::2], strict=True))
        self.members = write_network(folder, pairs, parameters=parameters)
        self.clients = [Client(f"http://127.0.0.1:{member.rpc_port}", patience=PATIENCE) for member in self.members]

    @property
    def full(self) -> Client:
        return self.clients[-1]

    def start(self, member: Member, *more: str) -> None:
        self.family.start(member.name, *arguments_of(self.folder, member, self.members), *more)

    def kill(self, member: Member) -> None:
        """End a node as a loss of power does."""
        child = self.family.children.pop(member.name)
        child.signal(signal.SIGKILL)
        child.process.wait()

    def close(self) -> None:
        for client in self.clients:
            client.close()

    def until(self, is_so: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        """Wait for processes that nothing but asking them tells about."""
        pause, deadline = threading.Event(), time.monotonic() + patience
        while time.monotonic() < deadline:
            with contextlib.suppress(ClientError):
                if is_so():
                    return
            dead = [f"{child.name}:\n{child.tail()}" for child in self.family.dead()]
            assert not dead, "\n".join(dead)
            pause.wait(0.2)
        logs = "\n".join(f"{child.name}:\n{child.tail(8)}" for child in self.family.children.values())
        raise AssertionError(f"not within {patience:.0f} s: {what}\n{logs}")

    def agree(self) -> bool:
        """Whether all nodes have the same block at the height that all have finalized."""
        height = min(client.finalized_number() for client in self.clients)
        return len({client.block_hash(height) for client in self.clients}) == 1

    def all_final(self, number: int) -> bool:
        return all(client.finalized_number() >= number for client in self.clients)


@contextlib.contextmanager
def running_network(
    folder: Path, validators: int, parameters: dict[str, Any] | None = None, holders: Sequence[str] = ()
) -> Iterator[Network]:
    """A network whose nodes all answer; every process is gone at the end. ``parameters`` overrides the preset's. The
    first nodes hold blobs for others, with the accounts of ``holders``."""
    with Family(folder / "logs") as family:
        network = Network(folder, validators, family, parameters)
        try:
            for member, suri in zip_longest(network.members, holders):
                network.start(member, *(("--holder", suri, "--holder-bond", "10") if suri else ()))
            for client in network.clients:
                client.head()
            yield network
        finally:
            network.close()
