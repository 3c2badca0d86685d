"""The table of weights: each call's worst case measured, its 99th percentile doubled, against what is committed.

Weights are integer nanoseconds that everyone must agree on, so nothing is measured while a chain runs: ``--write`` puts
the figures of this machine into ``runtime/weights.py``, and they count from the next release on. An entry that nothing
here measures keeps its value and is marked there as set by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bench import fat_task as fat
from bench.report import Progress, Report, Table, silent
from bench.weighing import open_world, weigh
from bench.weight_cases import LARGE_NODES, LONG_REMARK, PADDINGS, SMALL_NODES, all_cases
from node.config import development_genesis
from runtime import weights
from runtime.codec import encode
from runtime.parameters import DEV

MARGIN = 2
"""Weights are so many times the measured percentile."""
BY_HAND = "  # set by hand"
ACCOUNTS = 20_000


def compute_entries(measured: Mapping[str, int]) -> dict[str, int]:
    """The table's entries (nanoseconds, margin not yet applied) from the costs of the cases."""
    entries = {name: cost for name, cost in measured.items() if name in weights.CALLS}
    moves = {name: cost for name, cost in measured.items() if name.startswith("disputes.play.")}
    executing = [cost for name, cost in moves.items() if "!" in name or "PostGroup" in name]
    hashing = [cost for name, cost in moves.items() if "!" not in name and "PostGroup" not in name]
    entries["disputes.play"] = max(hashing)
    entries["disputes.play.group"] = max(executing) - max(hashing)
    entries["disputes.cancel"] = measured["disputes.cancellations"] // DEV.disputes.cancellations_at_once
    checkpoint = (measured["proofs.register.long"] - measured["proofs.register"]) // (fat.SEGMENTS - 64)
    entries["proofs.register.checkpoint"] = max(checkpoint, 0)
    entries["proofs.register"] = measured["proofs.register"] - 65 * entries["proofs.register.checkpoint"]
    entries["proofs.deadline"] = max(measured["proofs.deadline"], measured["proofs.deadline.silent"])
    entries["tasks.submit.byte"] = max(_cost_of_byte(measured, name) for name in PADDINGS)
    small = len(encode(fat.wide_program(SMALL_NODES))) + len(encode(fat.init_program()))
    entries["tasks.submit"] = max(measured["tasks.submit"] - small * entries["tasks.submit.byte"], 1)
    asks = 2 * (fat.ROSTER_SIZE - 1)
    entries["workers.ask"] = (measured["tasks.deadline.draw"] - measured["tasks.deadline"]) // asks
    entries["EXTRINSIC"] = measured["extrinsic.empty"] - measured["system.remark"]
    entries["PER_BYTE"] = max((measured["extrinsic.long"] - measured["extrinsic.empty"]) // LONG_REMARK, 1)
    return entries


def _cost_of_byte(measured: Mapping[str, int], padding: str) -> int:
    """Nanoseconds that a byte more of a program costs when it is filled with these nodes."""
    large = encode(fat.wide_program(LARGE_NODES, PADDINGS[padding]))
    extra: int = len(large) - len(encode(fat.wide_program(SMALL_NODES)))
    return (measured[f"tasks.submit.{padding}"] - measured["tasks.submit"]) // extra


def committed_entries() -> dict[str, int]:
    return {**weights.CALLS, "EXTRINSIC": weights.EXTRINSIC, "PER_BYTE": weights.PER_BYTE}


def round_up(nanoseconds: int) -> int:
    """Two significant digits, rounded up: what noise leaves of a measurement."""
    unit: int = 10 ** max(len(str(nanoseconds)) - 2, 0)
    return -(-nanoseconds // unit) * unit


def run(
    quick: bool = False, progress: Progress = silent, target: Path | None = None, samples: int = 0, accounts: int = 0
) -> Report:
    """Measure; with ``target``, rewrite that file's table."""
    samples, seconds = samples or (20 if quick else 150), 0.6 if quick else 8.0
    measured: dict[str, int] = {}
    with open_world(development_genesis(), accounts or ACCOUNTS) as world:
        for case in all_cases(world):
            progress(case.name)
            measured[case.name] = weigh(world, case, samples, seconds)
        share = world.tree_share
    entries = compute_entries(measured)
    proposed = {name: round_up(MARGIN * cost) for name, cost in entries.items()}
    committed = committed_entries()
    if target is not None:
        target.write_text(rewrite(target.read_text(encoding="utf-8"), proposed), encoding="utf-8")
    below = sorted(name for name in entries if committed[name] < entries[name])
    by_hand = sorted(committed.keys() - entries.keys())
    figures = {
        "samples": samples,
        "tree_share_ns": share,
        "cases_ns": measured,
        "entries": {
            name: {"measured_ns": entries[name], "proposed": proposed[name], "committed": committed[name]}
            for name in sorted(entries)
        },
        "committed_below_measurement": below,
        "set_by_hand": by_hand,
    }
    remarks = (
        f"Committed below the measurement itself: {', '.join(below) or 'none'}.",
        f"Not measured, set by hand: {', '.join(by_hand) or 'none'}.",
        *([f"Wrote {target.name}."] if target is not None else []),
    )
    return Report("weights", figures, (_table(entries, proposed, committed),), remarks)


def rewrite(text: str, proposed: Mapping[str, int]) -> str:
    """The source of the table with the proposed figures, and what is left marked as set by hand."""
    for name in ("EXTRINSIC", "PER_BYTE"):
        text = re.sub(rf"^{name} = [\d_]+$", f"{name} = {proposed[name]:_}", text, flags=re.MULTILINE)

    def entry(match: re.Match[str]) -> str:
        name, value = match["name"], int(match["value"])
        return f'    "{name}": {proposed.get(name, value):_},' + ("" if name in proposed else BY_HAND)

    return re.sub(r'^    "(?P<name>[\w.]+)": (?P<value>[\d_]+),.*$', entry, text, flags=re.MULTILINE)


def _table(entries: Mapping[str, int], proposed: Mapping[str, int], committed: Mapping[str, int]) -> Table:
    rows = tuple(
        (name, f"{entries[name]:,}", f"{proposed[name]:,}", f"{committed[name]:,}", _judge(entries, committed, name))
        for name in sorted(entries)
    )
    return Table("Nanoseconds", ("entry", ">99th percentile", ">doubled", ">committed", ""), rows)


def _judge(entries: Mapping[str, int], committed: Mapping[str, int], name: str) -> str:
    return "too low" if committed[name] < entries[name] else ""
