"""The nodes of ``docker-compose.yml`` as a network that a benchmark hurts and heals, under a project name of its own.

Only `docker compose` and `docker network` are used, and a node is asked inside its own container, so that it does not
matter where the engine runs.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.cluster import NODES, ClusterError, Sight
from bench.report import Progress

ROOT = Path(__file__).resolve().parent.parent
PROJECT = "solvent-faults"
PROBE = """
import json, sys, urllib.request
def call(method, *params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request("http://127.0.0.1:9944", body, {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=1))["result"]
final = call("chain_getHeader", call("chain_getFinalizedHead"))
print(json.dumps([int(final["number"], 16), call("chain_getBlockHash", json.loads(sys.argv[1]))]))
"""
"""Run inside a node's container: what `Sight` holds, as JSON. The standard library alone loads fast enough."""


def docker(*arguments: str, timeout: float = 600.0) -> str:
    """Run a docker command; its output. Raises `ClusterError`."""
    try:
        done = subprocess.run(
            ["docker", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise ClusterError("there is no docker command here; install Docker Engine with the Compose plugin") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"docker {' '.join(arguments)} took more than {timeout:.0f} s") from None
    if done.returncode:
        raise ClusterError(f"docker {' '.join(arguments)}: {done.stderr.strip()[-1000:]}")
    return done.stdout


def compose(*arguments: str, timeout: float = 600.0) -> str:
    """Run a docker compose command on this project."""
    return docker("compose", "--project-name", PROJECT, *arguments, timeout=timeout)


class ContainerCluster:
    """Implements `bench.cluster.Cluster`."""

    kind = "containers"
    can_cut = True

    def __init__(self) -> None:
        described = json.loads(compose("config", "--format", "json"))
        networks = {node: described["services"][node]["networks"]["solvent"] for node in NODES}
        self.addresses = {node: str(network["ipv4_address"]) for node, network in networks.items()}
        self.containers = {node: compose("ps", "--all", "--quiet", node).strip() for node in NODES}

    def look(self, node: str, heights: Sequence[int]) -> Sight | None:
        try:
            inside = ("exec", self.containers[node], "python", "-S", "-c", PROBE, json.dumps(list(heights)))
            number, hashes = json.loads(docker(*inside, timeout=3.0))
        except ClusterError:
            return None
        known = {height: hash_ for height, hash_ in zip(heights, hashes, strict=True) if hash_ is not None}
        return Sight(number, known)

    def stop(self, node: str) -> None:
        compose("stop", node)

    def kill(self, node: str) -> None:
        compose("kill", node)

    def start(self, node: str) -> None:
        compose("start", node)

    def pause(self, node: str) -> None:
        compose("pause", node)

    def resume(self, node: str) -> None:
        compose("unpause", node)

    def cut(self, node: str) -> None:
        docker("network", "disconnect", f"{PROJECT}_solvent", self.containers[node])

    def mend(self, node: str) -> None:
        docker("network", "connect", "--ip", self.addresses[node], f"{PROJECT}_solvent", self.containers[node])


@contextmanager
def running_containers(progress: Progress) -> Iterator[ContainerCluster]:
    """The validators and the full node, healthy; removed afterwards with their volumes. Raises `ClusterError`."""
    if not (ROOT / "docker-compose.yml").is_file():
        raise ClusterError("docker-compose.yml is not here: run this in a clone of Solvent's repository")
    docker("version", "--format", "{{.Server.Version}}", timeout=20.0)
    try:
        progress("building and starting the containers")
        compose("up", "--detach", "--build", "--wait", *NODES, timeout=1800.0)
        yield ContainerCluster()
    finally:
        compose("down", "--volumes", "--timeout", "2")
