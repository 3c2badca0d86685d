"""The documents name real things: every function that ARCHITECTURE.md walks through exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WALK = "## From `solvent demo` to the last opcode"


def walk_steps() -> list[str]:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.split(WALK, 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\d+\. `([\w.]+:[\w.]+)`", section, flags=re.MULTILINE)


def test_the_walk_lists_the_whole_way() -> None:
    steps = walk_steps()
    assert len(steps) >= 15
    assert steps[0].startswith("cli.demo")
    assert steps[-1].startswith("runtime.vm.")


@pytest.mark.parametrize("step", walk_steps())
def test_each_function_of_the_walk_exists(step: str) -> None:
    module, _, path = step.partition(":")
    value = importlib.import_module(module)
    for name in path.split("."):
        value = getattr(value, name)
    assert callable(value)


@pytest.mark.parametrize("page", sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("*.md")))
def test_links_between_documents_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"
