"""The callers of `bench.rpc`, in a process of their own so that their work is not counted as the node's.

Reads jobs from standard input, one JSON object a line, and answers each with one line. A job is either ``calls``: some
connections, each of which asks again as soon as it is answered; or ``heads``: many subscriptions over few connections,
and when each heard of each block.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from solvent.websocket import WebSocket

RECEIVE_BYTES = 1 << 20


class OverHttp:
    """One connection that is kept. Mutable."""

    def __init__(self, url: str, body: str) -> None:
        host = urlsplit(url).netloc
        head = (
            f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        name, _, port = host.partition(":")
        self.socket = socket.create_connection((name, int(port)), 30)
        self._request, self._data = (head + body).encode(), b""

    def ask(self) -> None:
        self._data = b""
        self.socket.sendall(self._request)

    def take(self) -> bytes | None:
        """The answer's body once it is whole."""
        self._data += self.socket.recv(RECEIVE_BYTES)
        head, _, body = self._data.partition(b"\r\n\r\n")
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None)
        if length is None or len(body) < int(length.partition(b":")[2]):
            return None
        return body

    def close(self) -> None:
        self.socket.close()


class OverWebSocket:
    """The same over a WebSocket. Mutable."""

    def __init__(self, url: str, body: str) -> None:
        self._websocket, self._body = WebSocket(url, 30.0), body
        self.socket = self._websocket._socket

    def ask(self) -> None:
        self._websocket.send(self._body)

    def take(self) -> bytes | None:
        return self._websocket.receive(30.0).encode()

    def close(self) -> None:
        self._websocket.close()


TRANSPORTS: dict[str, type[OverHttp] | type[OverWebSocket]] = {"http": OverHttp, "websocket": OverWebSocket}


def calls(job: dict[str, Any]) -> dict[str, Any]:
    """Ask over ``connections`` for ``seconds``: answers, milliseconds of each, and this process's own time."""
    one = {"jsonrpc": "2.0", "id": 1, "method": job["method"], "params": job["params"]}
    body = json.dumps([one] * job["batch"] if job["batch"] > 1 else one)
    waits: list[float] = []
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        begun, processor = time.perf_counter(), time.process_time()
        for _ in range(job["connections"]):
            connection = TRANSPORTS[job["transport"]](job["url"], body)
            stack.callback(connection.close)
            connection.ask()
            selector.register(connection.socket, selectors.EVENT_READ, [connection, time.perf_counter()])
        answer = b""
        while time.perf_counter() - begun < job["seconds"] or len(waits) < job["connections"]:
            ready = selector.select(30.0)
            if not ready:
                raise RuntimeError(f"the node has not answered {job['method']} for 30 seconds")
            for key, _ in ready:
                connection, asked = key.data
                taken = connection.take()
                if taken is not None:
                    answer = taken
                    waits.append((time.perf_counter() - asked) * 1000)
                    connection.ask()
                    key.data[1] = time.perf_counter()
        seconds = time.perf_counter() - begun
    if b'"error"' in answer:
        raise RuntimeError(f"{job['method']} is answered with {answer[:300]!r}")
    waits.sort()
    return {
        "calls": len(waits) * job["batch"],
        "seconds": seconds,
        "answer_bytes": len(answer) // job["batch"],
        "p50_ms": waits[len(waits) // 2],
        "p99_ms": waits[len(waits) * 99 // 100],
        "processor_seconds": time.process_time() - processor,
    }


def heads(job: dict[str, Any]) -> dict[str, Any]:
    """Subscribe ``subscriptions`` times to new heads over ``connections``; how many notices came of each block, and how
    long after the first of them the last one."""
    each = job["subscriptions"] // job["connections"]
    subscribe = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "chain_subscribeNewHeads", "params": []})
    heard: dict[str, list[float]] = {}
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(job["connections"]):
            websocket = stack.enter_context(WebSocket(job["url"], 30.0))
            for _ in range(each):
                websocket.send(subscribe)
            selector.register(websocket._socket, selectors.EVENT_READ, websocket)
        begun, processor = time.perf_counter(), time.process_time()
        while time.perf_counter() - begun < job["seconds"]:
            for key, _ in selector.select(0.1):
                for text in waiting(key.data):
                    place = text.find('"hash":"0x')
                    if '"method"' in text and place > 0:
                        heard.setdefault(text[place + 10 : place + 74], []).append(time.perf_counter())
        processor_seconds = time.process_time() - processor
    # The first block is told at once of, to each as it subscribes, and of the last some may not have heard.
    whole = [times for times in list(heard.values())[1:-1] if times]
    return {
        "blocks": len(whole),
        "notices": sum(map(len, whole)),
        "spread_ms": sorted((max(times) - min(times)) * 1000 for times in whole),
        "processor_seconds": processor_seconds,
    }


def waiting(websocket: WebSocket) -> Iterator[str]:
    """One message, and those that came with it."""
    yield websocket.receive(30.0)
    while websocket._messages:
        yield websocket._messages.popleft()


def feed(job: dict[str, Any]) -> dict[str, Any]:
    """Hand in extrinsics at ``rate`` a second until standard input ends; ``path`` holds them, one a line in hex."""
    raws = Path(job["path"]).read_text(encoding="ascii").splitlines()
    portion = max(job["rate"] // 10, 1)
    taken, begun = 0, time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(sys.stdin, selectors.EVENT_READ)
        while taken < len(raws):
            some = raws[taken : taken + portion]
            batch = [
                {"jsonrpc": "2.0", "id": 1, "method": "author_submitExtrinsic", "params": ["0x" + raw]} for raw in some
            ]
            connection = OverHttp(job["url"], json.dumps(batch))
            connection.ask()
            while connection.take() is None:
                continue
            connection.close()
            taken += len(some)
            if selector.select(max(begun + taken / job["rate"] - time.monotonic(), 0)):
                break
    return {"extrinsics": taken, "seconds": time.monotonic() - begun}


def main() -> None:
    """Do the jobs of standard input."""
    kinds = {"calls": calls, "heads": heads, "feed": feed}
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(kinds[job["kind"]](job)), flush=True)


if __name__ == "__main__":
    main()
