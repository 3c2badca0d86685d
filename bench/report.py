"""What every benchmark returns: figures for programs, tables and remarks for people, and the machine they came from.

A benchmark is a module of this package with ``run(quick, progress) -> Report``. Figures are plain JSON values under
names that carry their unit (``cold_transfers_per_second``, ``step_us``).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Progress = Callable[[str], None]
"""Takes one line about what is being measured now."""


def silent(line: str) -> None:
    """A `Progress` that says nothing."""


@dataclass(frozen=True)
class Table:
    """Rows of text under a title; the names of right-aligned columns start with ``>``."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Report:
    """The outcome of one benchmark."""

    name: str
    figures: dict[str, Any]
    tables: tuple[Table, ...]
    remarks: tuple[str, ...] = ()
    machine: dict[str, Any] = field(default_factory=lambda: describe_machine())

    def to_document(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {"name": self.name, "machine": self.machine, "figures": self.figures}


def describe_machine() -> dict[str, Any]:
    """The processor and the interpreter; nothing that identifies the machine."""
    flags = _cpu_flags()
    vectors = next((name for name in ("avx512f", "avx2", "sse2") if name in flags), "")
    return {
        "architecture": platform.machine(),
        "cores": os.cpu_count() or 1,
        "vectors": vectors.removesuffix("f") if vectors.startswith("avx512") else vectors,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def machine_line(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    vectors = f", {machine['vectors']}" if machine["vectors"] else ""
    return f"{machine['cores']} cores, {machine['architecture']}{vectors}, Python {machine['python']}"


def percentile(samples: Sequence[float], parts: int) -> float:
    """The value below which ``parts`` in a hundred of the samples lie (the largest one for few samples)."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) * parts // 100, len(ordered) - 1)]


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return set()
    line = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return set(line.split())
