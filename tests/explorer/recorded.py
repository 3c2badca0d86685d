"""A node that answers from a recording: the same files, the same shapes, and whatever a test makes of them.

``recorded.json`` holds answers of a real chain, by method; running this module with a node's address writes it anew.
There is no WebSocket here, so that the page falls back to asking over HTTP.
"""

from __future__ import annotations

import copy
import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from rpc.page import FOLDER, HEADERS, NAME, TYPES

RECORDING = Path(__file__).with_name("recorded.json")
NO_INDEX = {"code": -32002, "message": "this node keeps no index; start it without --no-index"}
NOT_FOUND = {"code": -32601, "message": "Method not found"}

Answer = Any | Callable[[list[Any] | dict[str, Any]], Any]


class Refused(Exception):
    """Answer with a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}


class RecordedNode:
    """Serves the explorer and its recording on a free port. Mutable: `answers` may be changed by a test."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = copy.deepcopy(json.loads(RECORDING.read_text("utf-8")))
        self.is_indexed = True
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> RecordedNode:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        response: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        method, params = request["method"], request.get("params") or []
        if method not in self.answers:
            return {**response, "error": NOT_FOUND}
        if not self.is_indexed and method in INDEXED:
            return {**response, "error": NO_INDEX}
        found = self.answers[method]
        try:
            return {**response, "result": found(params) if callable(found) else found}
        except Refused as refused:
            return {**response, "error": refused.error}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                name = self.path.lstrip("/") or "index.html"
                match = NAME.fullmatch(name)
                if self.headers.get("Upgrade") or match is None or not (FOLDER / name).is_file():
                    self.reply(404, b"", "text/plain")
                else:
                    self.reply(200, (FOLDER / name).read_bytes(), TYPES[match.group(1)])

            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.reply(200, json.dumps(node.answer(request)).encode(), "application/json")

            def reply(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        return Handler


INDEXED = {
    "explorer_search", "explorer_extrinsic", "explorer_extrinsics", "explorer_events", "explorer_accountHistory",
    "tasks_list", "tasks_timeline", "tasks_progress", "disputes_get", "workers_earnings",
}  # fmt: skip


def record(result: Callable[..., Any]) -> dict[str, Any]:
    """Ask a node on which the demo's story happened for one answer of each method that the page uses."""
    task = result("tasks_list")["items"][0]["task"]
    dispute = result("disputes_get", 0)
    challenger, solver = dispute["challenger"], result("tasks_get", task)["solver"]
    return {
        "system_health": result("system_health"),
        "state_getMetadata": {"pallets": [pallet_of(one) for one in result("state_getMetadata")["pallets"]]},
        "explorer_statistics": result("explorer_statistics"),
        "explorer_blocks": result("explorer_blocks", 6),
        "explorer_block": result("explorer_block", dispute["ended"]["block"]),
        "explorer_extrinsic": result("explorer_extrinsic", dispute["moves"][-1]["extrinsic"]),
        "explorer_extrinsics": result("explorer_extrinsics", 3),
        "explorer_events": result("explorer_events", None, 5),
        "explorer_search": result("explorer_search", challenger),
        "explorer_account": result("explorer_account", challenger),
        "explorer_accountHistory": result("explorer_accountHistory", challenger, 3),
        "explorer_validators": result("explorer_validators"),
        "workers_list": result("workers_list"),
        "workers_get": result("workers_get", solver),
        "workers_earnings": result("workers_earnings", solver),
        "tasks_list": result("tasks_list"),
        "tasks_get": result("tasks_get", task),
        "tasks_timeline": result("tasks_timeline", task, 100),
        "tasks_progress": result("tasks_progress", task),
        "tasks_program": result("tasks_program", dispute["claim"]["program"]),
        "disputes_list": result("disputes_list"),
        "disputes_get": dispute,
    }


def pallet_of(described: dict[str, Any]) -> dict[str, Any]:
    """What the page about events needs of a pallet."""
    return {"name": described["name"], "events": [{"name": event["name"]} for event in described["events"]]}


def thin(value: Any) -> Any:
    """The same without the bulk: what is posted in hexadecimal is cut."""
    if isinstance(value, dict):
        return {name: thin(one) for name, one in value.items()}
    if isinstance(value, list):
        return [thin(one) for one in value]
    return value[:402] if isinstance(value, str) else value


if __name__ == "__main__":
    from solvent.client import Client

    found = thin(record(Client(sys.argv[1]).call))
    lines = [f"{json.dumps(name)}: {json.dumps(answer, separators=(',', ':'))}" for name, answer in found.items()]
    RECORDING.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
