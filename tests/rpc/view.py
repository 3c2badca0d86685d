"""A node's view without sockets, and how it is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import trio

from chain.sync import SyncState
from node.blobs import BlobStore
from rpc.bell import Bell
from rpc.indexes import Indexes
from rpc.methods import TABLE
from rpc.protocol import answer
from rpc.table import MethodTable
from tests.rpc.schemas import require_answer

SILENT: dict[str, Any] = {}


class View:
    """A `NodeView` over a chain without sockets."""

    name, version, chain_name, is_development = "solvent", "test", "Test", True

    def __init__(self, chain: Any, folder: Path) -> None:
        self.ledger, self.pool = chain.ledger, chain.pool
        self.blobs = BlobStore(folder / "blobs", 1000, 1000)
        self.indexes = Indexes(folder / "index", chain.ledger)
        self.bell = Bell()
        self.started_at = 0.0
        self.genesis: dict[str, Any] = {}

    def submit(self, raw: bytes) -> bytes:
        return self.pool.submit(raw, self.ledger.head_number, 0.0)

    def may_upload(self, account: bytes) -> bool:
        return True

    def peer_count(self) -> int:
        return 0

    def peers(self) -> tuple[()]:
        return ()

    def peer_id(self) -> str:
        return ""

    def addresses(self) -> tuple[()]:
        return ()

    def session_keys(self) -> tuple[()]:
        return ()

    def rotate_keys(self, owner: bytes | None) -> tuple[bytes, bytes]:
        return bytes(32), bytes(64)

    def now(self) -> float:
        return 0.0

    def wall_time(self) -> float:
        return 0.0

    def is_syncing(self) -> bool:
        return False

    def sync_state(self) -> SyncState:
        head = self.ledger.head_number
        return SyncState(1, head, head + 7, True, None, 0)

    def round_state(self) -> Any:
        return None


def ask_bytes(view: View, body: bytes, table: MethodTable = TABLE) -> Any:
    raw = trio.run(answer, table, view, body, trio.lowlevel.checkpoint)
    return SILENT if raw is None else json.loads(raw)


def ask(view: View, method: str, *params: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
    response = ask_bytes(view, json.dumps(body).encode())
    assert response["id"] == 7
    if "result" in response:
        require_answer(method, response["result"])
    return response
