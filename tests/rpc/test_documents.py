"""The documents that are made from the method table are current, and say what a program needs."""

from __future__ import annotations

from pathlib import Path

from node.config import VERSION
from rpc.methods import TABLE
from rpc.openrpc import GROUPS, build_document, group_of, render_markdown

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_about_the_methods_is_current() -> None:
    page = (ROOT / "docs" / "rpc.md").read_text(encoding="utf-8")
    assert page == render_markdown(TABLE), "run: solvent rpc document > docs/rpc.md"


def test_every_method_stands_under_a_heading() -> None:
    assert {group_of(name) for name in TABLE.methods} == set(GROUPS)


def test_the_openrpc_document_describes_each_method_with_typed_parameters() -> None:
    document = build_document(TABLE, VERSION)
    assert document["openrpc"].startswith("1.")
    assert {method["name"] for method in document["methods"]} == set(TABLE.methods)
    for method in document["methods"]:
        optional = [not parameter["required"] for parameter in method["params"]]
        assert optional == sorted(optional), f"{method['name']} has a required parameter after an optional one"
        assert all(parameter["schema"] for parameter in method["params"])
        assert method["summary"]
