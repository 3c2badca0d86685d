"""The node of `bench.rpc`: a development chain with its index that makes a block a second, in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import trio

from node.config import NodeConfig
from node.service import Node


async def serve(folder: Path) -> None:
    """Run on the genesis in ``folder`` until standard input ends, and print the address first."""
    genesis = json.loads((folder / "genesis.json").read_text(encoding="utf-8"))
    node = Node(NodeConfig(folder / "node", genesis, rpc_port=0, coalesce_seconds=1.0))
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        print(f"http://127.0.0.1:{node.rpc_port}", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        node.stop()


if __name__ == "__main__":
    trio.run(serve, Path(sys.argv[1]))
