"""Real nodes for tests: in a thread of this process, or as a process of its own that can be killed."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import trio

from node.config import NodeConfig
from node.service import Node
from solvent.client import Client

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def running_node(base_path: Path, **settings: Any) -> Iterator[tuple[Node, Client]]:
    """A node on a free port, in a thread, and a client of it; both are stopped at the end."""
    started = threading.Event()
    shared: dict[str, Any] = {}

    async def serve() -> None:
        shared["node"] = node = Node(NodeConfig(base_path, rpc_port=0, **settings))
        shared["token"] = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            started.set()

    def main() -> None:
        try:
            trio.run(serve)
        except BaseException as error:
            shared["error"] = error
        started.set()

    thread = threading.Thread(target=main)
    thread.start()
    started.wait()
    try:
        if "error" in shared:
            raise shared["error"]
        node = shared["node"]
        with Client(f"http://127.0.0.1:{node.rpc_port}", patience=10.0) as client:
            yield node, client
    finally:
        if "token" in shared:
            with contextlib.suppress(trio.RunFinishedError):
                shared["token"].run_sync_soon(shared["node"].stop)
        thread.join()
    if "error" in shared:
        raise shared["error"]


def solvent(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "cli.main", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **settings)


@contextlib.contextmanager
def dev_process(*arguments: str, **settings: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``solvent dev`` as a process of its own, and its address; killed at the end if it still runs."""
    command = [sys.executable, "-m", "cli.main", "dev", "--rpc-port", "0", *arguments]
    environment = {**os.environ, "COLUMNS": "200"}
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, **settings
    )
    assert process.stdout is not None
    try:
        seen = ""
        for line in process.stdout:
            seen += line
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                break
        else:
            raise AssertionError(f"the node did not start: {seen}")
        yield process, found.group()
    finally:
        process.kill()
        process.stdout.close()
        process.wait()
