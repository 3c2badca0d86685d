"""The runtime described in JSON, from the declarations that the executive itself runs on."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Any

from rpc.answers.node import (
    ConstantJson,
    FieldJson,
    MetadataJson,
    PalletJson,
    RecordJson,
    RuntimeVersionJson,
    StorageJson,
)
from rpc.render import hex_of, render_record
from runtime import registry
from runtime.codec import Record
from runtime.pallet import CallDefinition, Pallet
from runtime.pallets import system
from runtime.parameters import Parameters
from runtime.state import Map, storage_prefix


@lru_cache(maxsize=2)
def build_metadata(parameters: Parameters) -> MetadataJson:
    """All pallets in order, and the network's parameters."""
    return {"version": runtime_version(), "pallets": [_pallet(pallet, parameters) for pallet in registry.PALLETS]}


def runtime_version() -> RuntimeVersionJson:
    """Name and version of the rules, in Substrate's shape."""
    return {
        "specName": "solvent",
        "implName": "solvent-python",
        "specVersion": system.SPEC_VERSION,
        "implVersion": 0,
        "authoringVersion": 1,
        "transactionVersion": 1,
        "apis": [],
    }


def _pallet(pallet: Pallet, parameters: Parameters) -> PalletJson:
    return {
        "name": pallet.name,
        "storage": [_storage(pallet.name, name, item) for name, item in pallet.storage.items()],
        "calls": [_call(definition) for definition in pallet.calls.values()],
        "inherents": [_call(definition) for definition in pallet.inherents.values()],
        "events": [_record(name, kind) for name, kind in pallet.events.items()],
        "errors": [{"name": name, "docs": inspect.getdoc(kind) or ""} for name, kind in pallet.errors.items()],
        "constants": _constants(parameters) if pallet is system.PALLET else [],
    }


def _constants(parameters: Parameters) -> list[ConstantJson]:
    shown: list[ConstantJson] = []
    for group, values in render_record(parameters).items():
        fields = values if isinstance(values, dict) else {"": values}
        shown += [{"name": f"{group}.{name}".rstrip("."), "value": value} for name, value in fields.items()]
    return shown


def _storage(pallet: str, name: str, item: Any) -> StorageJson:
    prefix = hex_of(storage_prefix(pallet, name))
    if not isinstance(item, Map):
        return {"name": name, "prefix": prefix, "kind": "value", "value": _kind(item.kind)}
    kinds = _kind(item.key_kind), _kind(item.value_kind)
    return {"name": name, "prefix": prefix, "kind": "map", "key": kinds[0], "value": kinds[1]}


def _call(definition: CallDefinition) -> RecordJson:
    documentation = inspect.getdoc(definition.handler) or ""
    return {**_record(definition.name, definition.arguments), "docs": documentation}


def _record(name: str, kind: type[Record]) -> RecordJson:
    annotations = vars(kind).get("__annotations__", {})
    fields: list[FieldJson] = [
        {"name": field, "type": _kind(annotations.get(field, "bytes"))} for field in kind.__struct_fields__
    ]
    return {"name": name, "fields": fields, "docs": inspect.getdoc(kind) or ""}


def _kind(kind: Any) -> str:
    if isinstance(kind, str):
        return kind
    text = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    return text.replace("runtime.codec.", "").replace("typing.", "")
