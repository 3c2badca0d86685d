"""The genesis file: a network's identity, parameters, authorities and first balances, and the state they make.

It is JSON with decimal strings for amounts and SS58 addresses. ``parameters`` overrides fields of the preset, group by
group. The genesis hash follows from the state that is built, so any difference in the file makes another chain.

A *raw* file holds the state itself instead, ``{"id", "name", "raw": {"root", "state"}}``, keys and values in hex: it
makes the same chain with every release, whatever becomes of the presets. A *template* is a file without authorities,
which nobody can start; its founder fills them in.
"""

from __future__ import annotations

import json
from typing import Any

from runtime import merkle, registry
from runtime.codec import Record, decode, encode, replace
from runtime.crypto import KeyFormatError, from_ss58
from runtime.errors import CodecError, SolventError
from runtime.pallets import system
from runtime.parameters import PRESETS, Parameters
from runtime.state import MemoryBackend, State

FIELDS: dict[str, type] = {
    "id": str,
    "name": str,
    "preset": str,
    "parameters": dict,
    "authorities": list,
    "balances": dict,
}
RAW_FIELDS: dict[str, type] = {"id": str, "name": str, "raw": dict}
OPTIONAL_FIELDS: dict[str, type] = {"launched": int, "checkpoint": str}
"""What a newcomer may trust for a warp: when the network began, in Unix seconds, and the hash of a recent block. It is
not part of the state, so a founder may change it in the file."""
AUTHORITY_FIELDS = ("account", "session_key", "stake")
KINDS: dict[type, str] = {str: "text", dict: "an object", list: "a list", int: "a whole number"}
MAX_NAME = 64
ID_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
"""Chain ids also name folders, so they hold nothing that a path could."""


class GenesisError(SolventError):
    """The genesis file cannot make a chain; the message names the field."""


class NoAuthorities(GenesisError):
    """The genesis file is a template: nobody could make its first block."""


def parse_genesis(text: str | bytes, template: bool = False) -> dict[str, Any]:
    """The configuration in a genesis file, every field of it checked; ``template`` allows one without authorities.

    Raises `GenesisError`, or `NoAuthorities`.
    """
    try:
        config = json.loads(text, object_pairs_hook=_without_repetition)
    except ValueError as error:
        raise GenesisError(f"the genesis file is not JSON: {error}") from None
    if not isinstance(config, dict):
        raise GenesisError("a genesis file is an object")
    fields = RAW_FIELDS if "raw" in config else FIELDS
    allowed = fields | OPTIONAL_FIELDS
    for kind, names in (("lacks", fields.keys() - config.keys()), ("has unknown", config.keys() - allowed.keys())):
        if names:
            raise GenesisError(f"the genesis file {kind} fields: {', '.join(sorted(names))}; see solvent build-spec")
    for field, expected in allowed.items():
        if field in config and type(config[field]) is not expected:
            raise GenesisError(f"{field}: is {KINDS[expected]} in a genesis file, not {config[field]!r:.60}")
    if not 0 < len(config["id"]) <= MAX_NAME or not ID_LETTERS.issuperset(config["id"]):
        raise GenesisError(f"id: 1 to 64 letters, digits, - and _, not {config['id']!r:.60}")
    if not 0 < len(config["name"]) <= MAX_NAME or not config["name"].isprintable():
        raise GenesisError(f"name: 1 to 64 printable characters, not {config['name']!r:.80}")
    if len(_read_hex("checkpoint", config.get("checkpoint", "00" * 32))) != 32:
        raise GenesisError("checkpoint: is the hash of a block, 32 bytes in hex")
    if "raw" in config:
        _validate_raw(config["raw"])
    else:
        _validate_content(config, template)
    return config


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return result


def _validate_content(config: dict[str, Any], template: bool) -> None:
    parameters = build_parameters(config["preset"], config["parameters"])
    for address, amount in config["balances"].items():
        _require_address(f"balances.{address}", address)
        _require_amount(f"balances.{address}", amount)
    for index, item in enumerate(config["authorities"]):
        field = f"authorities[{index}]"
        if parameters.block.instant_finality:
            _require_address(field, item)
            continue
        if not isinstance(item, dict) or sorted(item) != sorted(AUTHORITY_FIELDS):
            raise GenesisError(f"{field}: is an object with exactly the fields {', '.join(AUTHORITY_FIELDS)}")
        _require_address(f"{field}.account", item["account"])
        _require_address(f"{field}.session_key", item["session_key"])
        _require_amount(f"{field}.stake", item["stake"])
    if not config["authorities"] and not template:
        raise NoAuthorities(
            f"authorities: the genesis of {config['id']!r} is a template and names none; add at least one account with "
            "its session_key and stake, and give the account a balance above its stake"
        )


def _require_address(field: str, value: Any) -> None:
    try:
        from_ss58(value if isinstance(value, str) else "")
    except KeyFormatError as error:
        raise GenesisError(f"{field}: {error}") from None


def _require_amount(field: str, value: Any) -> None:
    if not isinstance(value, str) or not value.isascii() or not value.isdecimal() or int(value[:20]) >= 2**63:
        raise GenesisError(f'{field}: {value!r:.60} is not a decimal string of units (10^9 a token), such as "1000"')


def _validate_raw(raw: dict[str, Any]) -> None:
    if sorted(raw) != ["root", "state"] or not isinstance(raw["state"], dict):
        raise GenesisError("raw: is an object with exactly the fields root and state, and state is an object")
    if len(_read_hex("raw.root", raw["root"])) != 32:
        raise GenesisError("raw.root: is 32 bytes in hex")
    for key, value in raw["state"].items():
        _read_hex("raw.state", key)
        _read_hex(f"raw.state.{key}", value)


def _read_hex(field: str, value: Any) -> bytes:
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except (ValueError, AttributeError):
        raise GenesisError(f"{field}: {value!r:.60} is not hex") from None


def canonical_json(config: dict[str, Any]) -> str:
    """The one way to write a configuration: sorted keys, two spaces, a newline at the end."""
    return json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def build_parameters(preset: str, overrides: dict[str, dict[str, Any]]) -> Parameters:
    """A preset's parameters with some fields replaced: ``{"block": {"hash_count": 8}}``."""
    if preset not in PRESETS:
        raise GenesisError(f"preset: there is no {preset!r:.60}; there are {', '.join(PRESETS)}")
    parameters = PRESETS[preset]
    for group, fields in overrides.items():
        current = getattr(parameters, group, None)
        if not isinstance(current, Record) or not isinstance(fields, dict):
            raise GenesisError(f"parameters.{group}: there is no such group, or its value is no object")
        for name, value in fields.items():
            if name not in current.__struct_fields__:
                raise GenesisError(f"parameters.{group}.{name}: there is no such parameter")
            current = _replace_parameter(f"parameters.{group}.{name}", current, name, value)
        parameters = replace(parameters, **{group: current})
    return parameters


def _replace_parameter(field: str, group: Record, name: str, value: Any) -> Record:
    try:
        return decode(encode(replace(group, **{name: value})), type(group))
    except (CodecError, TypeError, ValueError, OverflowError) as error:
        raise GenesisError(f"{field}: {value!r:.60} is not possible ({error})") from None


def expand_parameters(parameters: Parameters) -> dict[str, dict[str, Any]]:
    """All parameters as a genesis file overrides them, so that the file says everything itself."""
    groups = {name: getattr(parameters, name) for name in parameters.__struct_fields__}
    return {
        name: {field: getattr(group, field) for field in group.__struct_fields__}
        for name, group in groups.items()
        if isinstance(group, Record)
    }


def build_genesis(config: dict[str, Any]) -> State:
    """The state before block 1: `State.changes` are its entries."""
    state = State(MemoryBackend())
    if "raw" in config:
        return _restore_raw(state, config)
    system.PARAMETERS.put(state, build_parameters(config["preset"], config["parameters"]))
    try:
        for pallet in registry.PALLETS:
            for builder in pallet.builders:
                builder(state, config)
    except (KeyFormatError, ValueError, TypeError, AttributeError) as error:
        raise GenesisError(f"{pallet.name}: {error}") from None
    return state


def _restore_raw(state: State, config: dict[str, Any]) -> State:
    for key, value in config["raw"]["state"].items():
        state.put(_read_hex("raw.state", key), _read_hex(f"raw.state.{key}", value))
    root = merkle.update(lambda path: None, state.changes()).root
    if root != _read_hex("raw.root", config["raw"]["root"]):
        raise GenesisError(f"raw.state: its root is 0x{root.hex()}, not raw.root; the file was changed or cut off")
    try:
        if system.CHAIN_ID.get(state) != config["id"]:
            raise GenesisError(f"id: the state in raw is of the chain {system.CHAIN_ID.get(state)!r:.60}")
        for pallet in registry.PALLETS:
            for checker in pallet.checks:
                checker(state)
    except CodecError as error:
        raise GenesisError(f"raw.state: this release cannot read it: {error}") from None
    return state


def trusted_checkpoint(config: dict[str, Any]) -> bytes | None:
    """The hash of a recent block that the genesis file vouches for."""
    return _read_hex("checkpoint", config["checkpoint"]) if "checkpoint" in config else None


def raw_genesis(config: dict[str, Any]) -> dict[str, Any]:
    """The raw form of a configuration: the same chain, as the state itself."""
    changes = build_genesis(config).changes()
    root = merkle.update(lambda path: None, changes).root
    entries = {"0x" + key.hex(): "0x" + value.hex() for key, value in changes.items() if value is not None}
    kept = {name: config[name] for name in ("id", "name", *OPTIONAL_FIELDS) if name in config}
    return {**kept, "raw": {"root": "0x" + root.hex(), "state": entries}}
