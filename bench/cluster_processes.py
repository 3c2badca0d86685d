"""A network of processes on this machine: on the loopback interface, or, as root, each with a network of its own.

In the second case the benchmark itself moves into a new network namespace with a bridge, and every node into one of its
own behind a cable to that bridge, which can be pulled. All of it is gone when the last process ends.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from bench.cluster import NODES, VALIDATORS, ClusterError, Sight
from cli.demo_processes import Family
from cli.testnet import arguments_of, write_network
from runtime.genesis import canonical_json
from solvent.client import Client, ClientError

CLONE_NEWNET = 0x4000_0000
SUBNET = "10.30.34"
PORT, RPC_PORT = 30333, 9944
START_SECONDS = 60.0
PLUG_IN = 'ip link set lo up; until ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done; \
ip address add "$0"/24 dev eth0; ip link set eth0 up; exec "$@"'
"""Run in a node's own namespace, before the node: wait for the cable, then take the address."""


def can_isolate() -> bool:
    """Whether every node can have a network of its own."""
    return os.geteuid() == 0 and all(shutil.which(tool) for tool in ("ip", "unshare"))


def ip(*arguments: str) -> None:
    """Change this namespace's network. Raises `ClusterError`."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def move_into_own_network() -> None:
    """Leave the machine's network for a new one with a bridge. Call it before any thread is started."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise ClusterError(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    ip("link", "set", "lo", "up")
    ip("link", "add", "bridge", "type", "bridge")
    ip("address", "add", f"{SUBNET}.1/24", "dev", "bridge")
    ip("link", "set", "bridge", "up")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on, all different."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class ProcessCluster:
    """Implements `bench.cluster.Cluster`. Mutable: nodes come and go."""

    kind = "processes"

    def __init__(self, folder: Path, family: Family, isolated: bool, balances: dict[str, str]) -> None:
        self.can_cut = isolated
        self.folder, self.family = folder, family
        ports = [PORT, RPC_PORT] * len(NODES) if isolated else free_ports(2 * len(NODES))
        members = write_network(folder, list(zip(ports[::2], ports[1::2], strict=True)))
        _add_balances(folder / "genesis.json", balances)
        if isolated:
            members = [replace(one, host=f"{SUBNET}.{number}") for number, one in enumerate(members, start=11)]
        self.members = {member.name: member for member in members}
        self.clients = {name: Client(one.url, timeout=1.0, patience=0.0) for name, one in self.members.items()}
        assert tuple(self.members) == NODES

    def close(self) -> None:
        """Close the connections; the family ends the processes."""
        for client in self.clients.values():
            client.close()

    def look(self, node: str, heights: Sequence[int]) -> Sight | None:
        try:
            client = self.clients[node]
            hashes = client.call("chain_getBlockHash", list(heights))
            known = {height: one for height, one in zip(heights, hashes, strict=True) if one is not None}
            return Sight(client.finalized_number(), known)
        except ClientError:
            return None

    def start(self, node: str) -> None:
        member = self.members[node]
        arguments = arguments_of(self.folder, member, list(self.members.values()))
        inside = ["unshare", "--net", "--", "sh", "-c", PLUG_IN, member.host] if self.can_cut else []
        child = self.family.start(node, *arguments, inside=inside)
        if self.can_cut:
            self._plug_in(node, child.process.pid)

    def _plug_in(self, node: str, pid: int) -> None:
        """Lay the cable from the bridge to a node's namespace, once it is in one of its own."""
        deadline = time.monotonic() + START_SECONDS
        own = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{pid}/ns/net").readlink() == own:
            if time.monotonic() > deadline:
                raise ClusterError(f"{node} did not get a network of its own")
            time.sleep(0.01)
        ip("link", "add", cable(node), "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        ip("link", "set", cable(node), "master", "bridge", "up")

    def stop(self, node: str) -> None:
        self.family.stop(node)
        self._unplug(node)

    def kill(self, node: str) -> None:
        child = self.family.children.pop(node)
        child.signal(signal.SIGKILL)
        child.process.wait()
        self._unplug(node)

    def _unplug(self, node: str) -> None:
        """The system takes the cable away with its namespace, only not at once."""
        with suppress(ClusterError):
            if self.can_cut:
                ip("link", "delete", cable(node))

    def pause(self, node: str) -> None:
        self.family.children[node].signal(signal.SIGSTOP)

    def resume(self, node: str) -> None:
        self.family.children[node].signal(signal.SIGCONT)

    def cut(self, node: str) -> None:
        ip("link", "set", cable(node), "down")

    def mend(self, node: str) -> None:
        ip("link", "set", cable(node), "up")


def _add_balances(genesis: Path, balances: dict[str, str]) -> None:
    config = json.loads(genesis.read_text(encoding="utf-8"))
    config["balances"] |= balances
    genesis.write_text(canonical_json(config), encoding="utf-8")


def cable(node: str) -> str:
    """The name of the bridge's end of a node's cable."""
    return f"to-{node}"


@contextmanager
def running_processes(isolated: bool, balances: dict[str, str] | None = None) -> Iterator[ProcessCluster]:
    """Four validators and a full node, all answering, in a folder that is removed afterwards.

    ``balances`` are further accounts in the genesis: address -> units.
    """
    with (
        tempfile.TemporaryDirectory(prefix="solvent-bench-", ignore_cleanup_errors=True) as folder,
        Family(Path(folder) / "logs") as family,
    ):
        cluster = ProcessCluster(Path(folder), family, isolated, balances or {})
        try:
            for node in (*VALIDATORS, NODES[-1]):
                cluster.start(node)
            deadline = time.monotonic() + START_SECONDS
            while any(cluster.look(node, ()) is None for node in NODES):
                for child in family.dead():
                    raise ClusterError(f"{child.name} ended by itself:\n{child.tail()}")
                if time.monotonic() > deadline:
                    raise ClusterError(f"not all nodes answered within {START_SECONDS:.0f} seconds")
                time.sleep(0.2)
            yield cluster
        finally:
            for child in family.children.values():
                child.signal(signal.SIGCONT)
            cluster.close()
