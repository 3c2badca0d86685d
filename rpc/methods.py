"""The whole method table of a node."""

from __future__ import annotations

from rpc import (
    account_methods,
    author_methods,
    chain_methods,
    dispute_methods,
    explorer_methods,
    grandpa_methods,
    runtime_calls,
    state_methods,
    subscriptions,
    system_methods,
    task_methods,
    worker_methods,
)
from rpc.answers.node import MethodJson, MethodsJson
from rpc.answers.words import ObjectJson
from rpc.openrpc import build_document
from rpc.table import MethodTable
from rpc.view import NodeView

TABLE = MethodTable()
for module in (
    chain_methods,
    state_methods,
    author_methods,
    system_methods,
    explorer_methods,
    account_methods,
    task_methods,
    dispute_methods,
    worker_methods,
    grandpa_methods,
    runtime_calls,
    subscriptions,
):
    TABLE.merge(module.TABLE)


@TABLE.method("rpc_methods")
def rpc_methods(node: NodeView) -> MethodsJson:
    """The names of all methods, and what each takes."""
    described: list[MethodJson] = [
        {
            "name": method.name,
            "params": [
                {"name": name, "kind": kind.name, "required": not kind.optional, "schema": kind.schema}
                for name, kind in method.parameters.items()
            ],
            "docs": method.documentation,
        }
        for method in TABLE.methods.values()
    ]
    return {"methods": sorted(TABLE.methods), "described": described}


@TABLE.method("rpc.discover")
def discover(node: NodeView) -> ObjectJson:
    """All methods as an OpenRPC document."""
    return build_document(TABLE, node.version)
