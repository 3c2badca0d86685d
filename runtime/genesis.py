"""The genesis file: a network's identity, parameters, authorities and first balances, and the state they make.

It is JSON with decimal strings for amounts and SS58 addresses. ``parameters`` overrides fields of the preset, group by
group. The genesis hash follows from the state that is built, so any difference in the file makes another chain.
"""

from __future__ import annotations

import json
from typing import Any

from runtime import registry
from runtime.codec import Record, decode, encode, replace
from runtime.crypto import KeyFormatError
from runtime.errors import CodecError, SolventError
from runtime.pallets import system
from runtime.parameters import PRESETS, Parameters
from runtime.state import MemoryBackend, State

FIELDS = {"id": str, "name": str, "preset": str, "parameters": dict, "authorities": list, "balances": dict}


class GenesisError(SolventError):
    """The genesis file cannot make a chain; the message names the field."""


def parse_genesis(text: str | bytes) -> dict[str, Any]:
    """The configuration in a genesis file, its outline checked."""
    try:
        config = json.loads(text)
    except ValueError as error:
        raise GenesisError(f"the genesis file is not JSON: {error}") from None
    if not isinstance(config, dict) or sorted(config) != sorted(FIELDS):
        raise GenesisError(f"a genesis file is an object with exactly the fields {', '.join(FIELDS)}")
    for field, kind in FIELDS.items():
        if not isinstance(config[field], kind) or (not config[field] and field != "parameters"):
            raise GenesisError(f"the field {field} of a genesis file is a {kind.__name__} with something in it")
    return config


def canonical_json(config: dict[str, Any]) -> str:
    """The one way to write a configuration: sorted keys, two spaces, a newline at the end."""
    return json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def build_parameters(preset: str, overrides: dict[str, dict[str, Any]]) -> Parameters:
    """A preset's parameters with some fields replaced: ``{"block": {"hash_count": 8}}``."""
    if preset not in PRESETS:
        raise GenesisError(f"there is no preset {preset!r}; there are {', '.join(PRESETS)}")
    parameters = PRESETS[preset]
    for group, fields in overrides.items():
        current = getattr(parameters, group, None)
        if not isinstance(current, Record) or not isinstance(fields, dict):
            raise GenesisError(f"there is no group of parameters {group!r}, or its value is no object")
        if unknown := sorted(name for name in fields if name not in current.__struct_fields__):
            raise GenesisError(f"there are no parameters {', '.join(unknown)} in {group}")
        parameters = replace(parameters, **{group: replace(current, **fields)})
    try:
        return decode(encode(parameters), Parameters)
    except (CodecError, TypeError, ValueError, OverflowError) as error:
        raise GenesisError(f"parameters: {error}") from None


def build_genesis(config: dict[str, Any]) -> State:
    """The state before block 1: `State.changes` are its entries."""
    state = State(MemoryBackend())
    system.PARAMETERS.put(state, build_parameters(config["preset"], config["parameters"]))
    try:
        for pallet in registry.PALLETS:
            for builder in pallet.builders:
                builder(state, config)
    except (KeyFormatError, ValueError, TypeError, AttributeError) as error:
        raise GenesisError(f"{pallet.name}: {error}") from None
    return state
