"""JSON-RPC 2.0: whatever the bytes are, the answer is JSON-RPC with the right code, and never a stack trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rpc.errors import INTERNAL_ERROR
from rpc.kinds import NUMBER, optional
from rpc.methods import TABLE
from rpc.protocol import MAX_BATCH
from rpc.table import MethodTable
from tests.rpc.view import SILENT, View, ask, ask_bytes
from tests.support.ledger import DevChain


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> Iterator[View]:
    folder = tmp_path_factory.mktemp("rpc")
    with DevChain(folder / "db") as chain:
        chain.seal()
        yield View(chain, folder)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff\xfe", b'{"jsonrpc": NaN}', b"[" * 100_000, b"1" * 5000, b"nul"],
)
def test_bytes_that_are_no_json_are_a_parse_error(view: View, body: bytes) -> None:
    assert ask_bytes(view, body)["error"]["code"] == -32700


@pytest.mark.parametrize(
    "request_",
    [
        1,
        "x",
        None,
        [],
        {},
        {"jsonrpc": "2.0", "id": 1},
        {"jsonrpc": "1.0", "id": 1, "method": "system_name"},
        {"jsonrpc": "2.0", "id": 1, "method": 5},
        {"jsonrpc": "2.0", "id": 1, "method": "system_name", "params": "x"},
        {"jsonrpc": "2.0", "id": {}, "method": "system_name"},
        {"jsonrpc": "2.0", "id": True, "method": "system_name"},
        {"jsonrpc": "2.0", "id": 1.5, "method": "system_name"},
    ],
)
def test_what_is_no_request_is_an_invalid_request(view: View, request_: Any) -> None:
    assert ask_bytes(view, json.dumps(request_).encode())["error"]["code"] == -32600


def test_an_unknown_method_is_named_and_a_close_one_suggested(view: View) -> None:
    error = ask(view, "chain_getBlok")["error"]
    assert error["code"] == -32601
    assert "chain_getBlok" in error["message"]
    assert "chain_getBlock" in error["message"]


@pytest.mark.parametrize(
    ("method", "params", "parameter", "why"),
    [
        ("state_getStorage", [], "key", "missing"),
        ("state_getStorage", ["abcd"], "key", "starts with 0x"),
        ("state_getStorage", ["0xabc"], "key", "even number"),
        ("state_getStorage", ["0xzz"], "key", "hex digits"),
        ("state_getStorage", [5], "key", "a number"),
        ("state_getStorage", ["0x", "0x00"], "at", "32 bytes"),
        ("state_getKeysPaged", ["0x", 1001], "count", "more than the 1000"),
        ("state_getKeysPaged", ["0x", -1], "count", "out of range"),
        ("state_getKeysPaged", ["0x", True], "count", "a boolean"),
        ("state_queryStorageAt", [["0x", 1]], "keys", "item 1"),
        ("state_getReadProof", [[]], "keys", "at least one"),
        ("chain_getBlockHash", [[1, "x"]], "number", "item 1"),
        ("chain_getBlockHash", ["0x" + "f" * 17], "number", "expected a number"),
        ("system_accountNextIndex", ["5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694tz"], "account", "checksum"),
        ("system_accountNextIndex", [{}], "account", "an object"),
        ("system_name", [1], "#0", "at most 0"),
        ("tasks_estimate", ["0x", "0x", "0x"], "spec", "InvalidSpec"),
    ],
)
def test_a_wrong_parameter_is_named_with_the_reason(
    view: View, method: str, params: list[Any], parameter: str, why: str
) -> None:
    error = ask(view, method, *params)["error"]
    assert error["code"] == -32602
    assert error["data"]["parameter"] == parameter
    assert why in error["message"]


def test_parameters_may_come_by_name(view: View) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "chain_getBlockHash", "params": {"number": 0}}
    assert ask_bytes(view, json.dumps(body).encode())["result"] == "0x" + view.ledger.genesis_hash.hex()
    body["params"] = {"height": 0}
    assert ask_bytes(view, json.dumps(body).encode())["error"]["data"]["parameter"] == "height"


def test_a_batch_is_answered_in_order_without_its_notifications(view: View) -> None:
    batch = [
        {"jsonrpc": "2.0", "id": "a", "method": "system_name"},
        {"jsonrpc": "2.0", "method": "system_name"},
        5,
        {"jsonrpc": "2.0", "id": "b", "method": "nothing"},
    ]
    first, second, third = ask_bytes(view, json.dumps(batch).encode())
    assert first == {"jsonrpc": "2.0", "result": "solvent", "id": "a"}
    assert (second["error"]["code"], second["id"]) == (-32600, None)
    assert (third["error"]["code"], third["id"]) == (-32601, "b")


def test_notifications_alone_get_no_answer(view: View) -> None:
    note = {"jsonrpc": "2.0", "method": "system_name"}
    assert ask_bytes(view, json.dumps(note).encode()) is SILENT
    assert ask_bytes(view, json.dumps([note, note]).encode()) is SILENT


def test_a_batch_has_a_limit(view: View) -> None:
    call = {"jsonrpc": "2.0", "id": 1, "method": "system_name"}
    error = ask_bytes(view, json.dumps([call] * (MAX_BATCH + 1)).encode())["error"]
    assert error["code"] == -32010
    assert len(ask_bytes(view, json.dumps([call] * MAX_BATCH).encode())) == MAX_BATCH


def test_a_bug_in_a_method_is_an_internal_error_without_details(view: View, caplog: pytest.LogCaptureFixture) -> None:
    table = MethodTable()

    @table.method("broken", number=optional(NUMBER))
    def broken(node: Any, number: int | None) -> None:
        """Divides by zero."""
        raise ZeroDivisionError("secret detail")

    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "broken"}).encode()
    error = ask_bytes(view, body, table)["error"]
    assert error["code"] == INTERNAL_ERROR
    assert "secret" not in json.dumps(error)
    assert "secret detail" in caplog.text


def test_a_method_must_declare_exactly_its_parameters() -> None:
    with pytest.raises(TypeError, match="declares"):

        @MethodTable().method("wrong", other=NUMBER)
        def wrong(node: Any, number: int) -> None:
            """A method."""


def test_a_block_that_is_not_known_is_said_so(view: View) -> None:
    unknown = "0x" + "11" * 32
    assert ask(view, "chain_getBlock", unknown)["result"] is None
    assert ask(view, "chain_getHeader", unknown)["result"] is None
    assert ask(view, "state_getStorage", "0x", unknown)["error"]["code"] == -32001
    assert ask(view, "chain_getBlockEvents", unknown)["error"]["code"] == -32001


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=70) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
NAMES = st.sampled_from(sorted(TABLE.methods))


@settings(deadline=None)
@given(NAMES, st.lists(JSON, max_size=5) | st.dictionaries(st.text(max_size=8), JSON, max_size=3))
def test_no_parameters_make_any_method_fail_unexpectedly(view: View, method: str, params: Any) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    response = ask_bytes(view, json.dumps(body).encode())
    assert "result" in response or response["error"]["code"] != INTERNAL_ERROR


HEXES = st.binary(max_size=100).map(lambda data: "0x" + data.hex())


@given(NAMES, st.lists(HEXES | st.integers(0, 100) | st.lists(HEXES, max_size=3), max_size=4))
def test_no_plausible_parameters_make_any_method_fail_unexpectedly(view: View, method: str, params: Any) -> None:
    response = ask(view, method, *params)
    assert "result" in response or response["error"]["code"] != INTERNAL_ERROR


@given(st.binary(max_size=200))
def test_no_bytes_make_the_server_fail(view: View, body: bytes) -> None:
    response = ask_bytes(view, body)
    assert response is SILENT or response["error"]["code"] in (-32700, -32600)


def test_a_batch_whose_answers_grow_too_big_is_answered_in_part(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rpc.protocol.MAX_ANSWER_BYTES", 100_000)
    batch = [{"jsonrpc": "2.0", "id": number, "method": "state_getMetadata"} for number in range(8)]
    answers = ask_bytes(view, json.dumps(batch).encode())
    assert [answer["id"] for answer in answers] == list(range(8))
    refused = [answer for answer in answers if "error" in answer]
    assert {answer["error"]["code"] for answer in refused} == {-32008}
    assert 0 < len(refused) < 8
    assert refused == answers[-len(refused) :]
