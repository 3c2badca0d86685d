"""What one node answers over JSON-RPC while it makes blocks of 200 transfers a second: calls a second and how long one
waits, by method, transport and batch; and how soon a thousand subscriptions hear of a block.

The node is a process of its own, so are the callers (`bench.rpc_load`) and whoever hands the transfers in: on two cores
the three share what there is, so the node's own time for a call is given, too, and the callers' time beside it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.report import Progress, Report, Table, silent
from bench.transfers import Chain, build_chain
from runtime.crypto import derive_seed, public_key
from runtime.pallets import balances
from solvent.client import Client

ALICE = public_key(derive_seed("//Alice"))
BATCH = 20
CONNECTIONS = 4
RATE = 200
SUBSCRIPTIONS, SUBSCRIBERS = 1_000, 20
METHODS = ("system_health", "chain_getBlock", "state_getStorage", "explorer_search", "chain_getBlock of 200 transfers")
"""The last one answers with a third of a megabyte, so the wished figures are not for it."""
WAYS = tuple((transport, batch) for transport in ("http", "websocket") for batch in (1, BATCH))
TARGETS = {"single_per_second": 1_000, "batched_per_second": 5_000, "p99_ms": 100}
"""The least calls a second of any method, one by one and in batches; and the longest that one in a hundred waits."""


class Worker:
    """A process that does one job after another. Mutable; a context that ends it."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self, job: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()

    def line(self) -> str:
        """What it says next. Raises `RuntimeError` when it has ended instead."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process of the benchmark ended with status {self.process.wait()}")
        return line.strip()

    def do(self, **job: Any) -> dict[str, Any]:
        self.begin(job)
        answer: dict[str, Any] = json.loads(self.line())
        return answer

    def processor_seconds(self) -> float:
        """User and system time so far; 0 where the system does not tell."""
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


@contextlib.contextmanager
def busy_node(folder: Path, chain: Chain) -> Iterator[tuple[Worker, str, str]]:
    """A node that is handed `RATE` transfers a second, its address, and the hash of a block that came before them."""
    (folder / "genesis.json").write_text(json.dumps(chain.config), encoding="utf-8")
    (folder / "transfers").write_text("\n".join(raw.hex() for raw in chain.transfers), encoding="ascii")
    with Worker("bench.rpc_node", str(folder)) as node, Worker("bench.rpc_load") as feeder:
        url = node.line()
        with Client(url) as client:
            while (first := client.block_hash(1)) is None:
                time.sleep(0.05)
        feeder.begin({"kind": "feed", "url": url, "path": str(folder / "transfers"), "rate": RATE})
        yield node, url, "0x" + first.hex()


def parameters(method: str, first: str) -> list[Any]:
    """What a method is asked with; ``first`` is the hash of a block without transfers."""
    return {
        "chain_getBlock": [first],
        "state_getStorage": ["0x" + balances.ACCOUNTS.key(ALICE).hex()],
        "explorer_search": ["1"],
    }.get(method, [])


def measure(node: Worker, callers: Worker, url: str, method: str, params: list[Any], seconds: float) -> dict[str, Any]:
    """One method, by every transport and batch."""
    row: dict[str, Any] = {"method": method}
    for transport, batch in WAYS:
        before = node.processor_seconds()
        asked = {"method": method.partition(" ")[0], "params": params, "transport": transport, "batch": batch}
        done = callers.do(kind="calls", url=url, connections=CONNECTIONS, seconds=seconds, **asked)
        spent = node.processor_seconds() - before
        row[f"{transport}_{batch}"] = {
            "per_second": done["calls"] / done["seconds"],
            "p50_ms": done["p50_ms"],
            "p99_ms": done["p99_ms"],
            "node_us": spent / done["calls"] * 1e6,
            "answer_bytes": done["answer_bytes"],
            "callers_us": done["processor_seconds"] / done["calls"] * 1e6,
        }
    return row


def run(quick: bool = False, progress: Progress = silent, seconds: float = 0.0) -> Report:
    """Measure every method of `METHODS`, and the subscriptions, on a node that has work to do."""
    seconds = seconds or (0.6 if quick else 4.0)
    waits = min(max(8 * seconds, 3.0), 20.0)
    progress("signing transfers ...")
    chain = build_chain(int(RATE * (len(METHODS) * len(WAYS) * (seconds + 0.2) + 2 * waits + 4)))
    with (
        tempfile.TemporaryDirectory() as folder,
        busy_node(Path(folder), chain) as (node, url, first),
        Worker("bench.rpc_load") as callers,
    ):
        rows = []
        for method in METHODS:
            progress(f"{method} ...")
            rows.append(measure(node, callers, url, method, parameters(method, first), seconds))
        progress(f"{SUBSCRIPTIONS} subscriptions ...")
        before = node.processor_seconds()
        told = callers.do(kind="heads", url=url, subscriptions=SUBSCRIPTIONS, connections=SUBSCRIBERS, seconds=waits)
        told["node_seconds"] = node.processor_seconds() - before
    return build_report(rows, told)


def build_report(rows: list[dict[str, Any]], told: dict[str, Any]) -> Report:
    """The table and the figures."""
    names = {f"{transport}_{batch}": transport + ("" if batch == 1 else f" x{batch}") for transport, batch in WAYS}
    wished = [row for row in rows if " " not in row["method"]]
    least = {
        "single_per_second": min(row[f"{transport}_1"]["per_second"] for row in wished for transport, _ in WAYS),
        "batched_per_second": min(row[f"{transport}_{BATCH}"]["per_second"] for row in wished for transport, _ in WAYS),
        "p99_ms": max(row[way]["p99_ms"] for row in wished for way in names),
    }
    spread = told["spread_ms"]
    heads = {
        "blocks": told["blocks"],
        "told_share": told["notices"] / (told["blocks"] * SUBSCRIPTIONS) if told["blocks"] else 0.0,
        "spread_ms_p50": spread[len(spread) // 2] if spread else 0.0,
    }
    title = f"Calls while {RATE} transfers a second come, over {CONNECTIONS} connections"
    columns = ("method", "way", ">calls/s", ">p50 ms", ">p99 ms", ">node us/call", ">callers us/call", ">answer")
    lines = tuple((row["method"], name, *_cells(row[way])) for row in rows for way, name in names.items())
    remarks = (
        f"Least: {least['single_per_second']:,.0f} single calls/s (wanted {TARGETS['single_per_second']:,}), "
        f"{least['batched_per_second']:,.0f} in batches of {BATCH} (wanted {TARGETS['batched_per_second']:,}); "
        f"longest p99 {least['p99_ms']:.1f} ms (wanted {TARGETS['p99_ms']}).",
        f"{SUBSCRIPTIONS:,} subscriptions over {SUBSCRIBERS} connections heard {100 * heads['told_share']:.1f} % of "
        f"{heads['blocks']} blocks, the last {heads['spread_ms_p50']:.0f} ms after the first (median); "
        f"{told['node_seconds']:.1f} s of the node's time, {told['processor_seconds']:.1f} s of the subscribers'.",
    )
    return Report("rpc", {"rows": rows, **least, "heads": heads}, (Table(title, columns, lines),), remarks)


def _cells(cell: dict[str, float]) -> tuple[str, ...]:
    rates = (f"{cell['per_second']:,.0f}", f"{cell['p50_ms']:.1f}", f"{cell['p99_ms']:.1f}")
    return (*rates, f"{cell['node_us']:,.0f}", f"{cell['callers_us']:,.0f}", f"{cell['answer_bytes']:,.0f} B")
