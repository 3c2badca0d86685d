"""What a node writes and serves as its options say: logs as JSON, methods, limits, origins."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import httpx
import pytest

from cli.logs import JsonFormatter
from solvent.client import Client
from solvent.errors import RpcFailed
from tests.support.node import dev_process


def test_a_record_is_one_line_of_json_with_its_traceback() -> None:
    try:
        raise ValueError("the reason\nin two lines")
    except ValueError:
        record = logging.LogRecord("solvent.node", logging.ERROR, "f.py", 1, "cannot %s", ("stop",), sys.exc_info())
    record.created, record.msecs = 0.0, 5.0
    line = JsonFormatter().format(record)
    assert "\n" not in line
    entry = json.loads(line)
    assert (entry["level"], entry["logger"], entry["message"]) == ("error", "solvent.node", "cannot stop")
    assert "the reason" in entry["exception"]
    assert entry["time"].endswith(".005Z")


def test_a_node_takes_the_options_of_what_it_serves(tmp_path: Path) -> None:
    options = ("--base-path", str(tmp_path), "--quiet", "--rpc-methods", "safe", "--no-index", "--no-prometheus")
    limits = ("--rpc-max-batch", "2", "--rpc-cors", "https://one.example, https://two.example", "--log-format", "json")
    with dev_process(*options, *limits) as (_, url), Client(url) as client:
        with pytest.raises(RpcFailed, match="unsafe"):
            client.call("system_peers")
        with pytest.raises(RpcFailed, match="index"):
            client.call("explorer_extrinsics")
        call = {"jsonrpc": "2.0", "id": 1, "method": "system_name"}
        assert httpx.post(url, json=[call] * 3).json()["error"]["code"] == -32010
        assert httpx.post(url, json=call, headers={"Origin": "https://two.example"}).status_code == 200
        assert httpx.post(url, json=call, headers={"Origin": "https://three.example"}).status_code == 403
