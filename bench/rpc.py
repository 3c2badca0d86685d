"""What one node answers over JSON-RPC: calls a second by method and transport, with what a subscriber waits for a head.

The node is a process of its own (``solvent dev``); the callers are this one. Each figure is the best of several runs,
in calls a second, over one connection at a time: calls one by one, in batches, and over a WebSocket. ``processor`` is
the node's own time for a call, which a busy machine does not inflate.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.report import Progress, Report, Table, silent
from runtime.crypto import derive_seed, public_key, to_ss58
from runtime.pallets import balances, system
from solvent.client import Client
from solvent.websocket import WebSocket

ALICE = derive_seed("//Alice")
BATCH = 64
METHODS: dict[str, list[Any]] = {
    "system_name": [],
    "chain_getHeader": [],
    "chain_getBlock": [],
    "state_getStorage": ["0x" + balances.ACCOUNTS.key(public_key(ALICE)).hex()],
    "state_getReadProof": [["0x" + balances.ACCOUNTS.key(public_key(ALICE)).hex()]],
    "explorer_statistics": [],
    "explorer_accountHistory": [to_ss58(public_key(ALICE)), 25],
    "explorer_search": ["1"],
}


@contextlib.contextmanager
def running_node(folder: Path) -> Iterator[tuple[int, str]]:
    """A development node as a process: its id and its address."""
    command = [sys.executable, "-m", "cli.main", "dev", "--base-path", str(folder), "--rpc-port", "0"]
    process = subprocess.Popen([*command, "--quiet", "--no-prometheus"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                yield process.pid, found.group()
                return
        raise RuntimeError("the node did not start")
    finally:
        process.terminate()
        process.stdout.close()
        process.wait()


def processor_seconds(process: int) -> float:
    """User and system time of a process so far; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def best_rate(call: Callable[[], None], per_call: int, runs: int, seconds: float) -> float:
    """The most calls a second of several runs."""
    best = 0.0
    for _ in range(runs):
        count, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < seconds:
            call()
            count += per_call
        best = max(best, count / (time.perf_counter() - begun))
    return best


def measure(client: Client, process: int, method: str, runs: int, seconds: float) -> dict[str, float]:
    """One method over every transport."""
    params = METHODS[method]
    single = best_rate(lambda: client.call(method, *params) and None, 1, runs, seconds)
    before, count = processor_seconds(process), 0

    def in_batch() -> None:
        nonlocal count
        count += BATCH
        client.batch([(method, params)] * BATCH)

    batched = best_rate(in_batch, BATCH, runs, seconds)
    processor = (processor_seconds(process) - before) / count
    request = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    with WebSocket(client.url, 30.0) as websocket:

        def over_websocket() -> None:
            websocket.send(request)
            websocket.receive(30.0)

        streamed = best_rate(over_websocket, 1, runs, seconds)
    return {
        "http_per_second": single,
        "batched_per_second": batched,
        "websocket_per_second": streamed,
        "processor_us": processor * 1e6,
    }


def measure_heads(client: Client, heads: int) -> list[float]:
    """Milliseconds from handing in an extrinsic until the head that includes it is announced."""
    waits = []
    for number in range(heads):
        with client.subscribe("chain_subscribeNewHeads") as announced:
            known = announced.next_within(30.0)["hash"]
            begun = time.perf_counter()
            client.submit(ALICE, "system", system.Remark(b"head %d" % number))
            while announced.next_within(30.0)["hash"] == known:
                continue
            waits.append((time.perf_counter() - begun) * 1000)
    return sorted(waits)


def run(quick: bool = False, progress: Progress = silent, seconds: float = 0.0) -> Report:
    """Measure every method of `METHODS`, and how soon a subscriber hears of a block."""
    runs, seconds = (1, seconds or 0.3) if quick else (3, seconds or 1.0)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, running_node(Path(folder)) as (process, url), Client(url) as client:
        for number in range(20):
            client.submit_and_wait(ALICE, "system", system.Remark(b"history %d" % number))
        for method in METHODS:
            progress(f"{method} ...")
            rows.append({"method": method, **measure(client, process, method, runs, seconds)})
        progress("heads ...")
        waits = measure_heads(client, 5 if quick else 30)
    table = Table(
        "Calls a second over one connection",
        ("method", ">HTTP", f">batches of {BATCH}", ">WebSocket", ">processor, us"),
        tuple(
            (
                row["method"],
                f"{row['http_per_second']:,.0f}",
                f"{row['batched_per_second']:,.0f}",
                f"{row['websocket_per_second']:,.0f}",
                f"{row['processor_us']:,.0f}",
            )
            for row in rows
        ),
    )
    median = waits[len(waits) // 2]
    remark = f"From handing in an extrinsic to the notification of its block: {median:.1f} ms (median of {len(waits)})."
    return Report("rpc", {"rows": rows, "head_ms_median": median, "head_ms": waits}, (table,), (remark,))
