"""The rules of ARCHITECTURE.md that a machine can check: who imports whom, and where side effects live."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ARROWS: dict[str, set[str]] = {
    "runtime": set(),
    "chain": {"runtime"},
    "p2p": {"runtime"},
    "rpc": {"chain", "runtime"},
    "solvent": {"runtime"},
    "ml": {"solvent", "runtime"},
    "node": {"chain", "p2p", "rpc", "runtime"},
    "cli": {"runtime", "chain", "p2p", "rpc", "solvent", "ml", "node", "bench"},
}
"""Package -> the packages it may import."""

HOMES: dict[str, set[str]] = {
    "nacl": {"runtime/crypto.py"},
    "msgspec": {"runtime/codec.py", "rpc/encoding.py"},
    "plyvel": {"chain/db.py"},
    "torch": {"ml"},
    "numpy": {"ml"},
    "safetensors": {"ml"},
    "cffi": {"ml"},
    "onnx": {"ml/onnx_import.py"},
    "trio": {"node", "p2p", "rpc"},
    "libp2p": {"p2p"},
    "multiaddr": {"p2p"},
    "starlette": {"rpc"},
    "hypercorn": {"rpc"},
    "prometheus_client": {"rpc", "cli/worker_metrics.py"},
    "httpx": {"solvent"},
    "wsproto": {"solvent"},
    "mnemonic": {"solvent/keys.py"},
    "click": {"cli"},
    "rich": {"cli"},
}
"""Third-party library -> the only files or folders that may import it."""

RUNTIME_MODULES = {
    "__future__", "abc", "bisect", "collections", "contextlib", "dataclasses", "enum", "functools", "hashlib",
    "heapq", "hmac", "inspect", "itertools", "json", "math", "types", "typing",
}  # fmt: skip
"""What the deterministic runtime may use of the standard library: nothing with a clock, a socket, a disk or entropy."""


def sources(package: str) -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imported_modules(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield node.lineno, node.module or ""


@pytest.mark.parametrize("package", sorted(ARROWS))
def test_a_package_imports_only_what_its_arrows_allow(package: str) -> None:
    allowed = ARROWS[package] | {package}
    wrong = [
        f"{path}:{line} imports {module}"
        for path, tree in sources(package)
        for line, module in imported_modules(tree)
        if module.split(".")[0] in ARROWS and module.split(".")[0] not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_every_third_party_library_stays_in_its_home() -> None:
    wrong = []
    for package in ARROWS:
        for path, tree in sources(package):
            for line, module in imported_modules(tree):
                top = module.split(".")[0]
                homes = HOMES.get(top)
                if top in ARROWS or top == "bench" or (top in sys.stdlib_module_names and homes is None):
                    continue
                if homes is None:
                    wrong.append(f"{path}:{line} imports {module}, which has no home in this test")
                elif not any(path == home or path.startswith(home + "/") for home in homes):
                    wrong.append(f"{path}:{line} imports {module}, whose home is {', '.join(sorted(homes))}")
    assert not wrong, "\n".join(wrong)


def test_the_runtime_uses_no_clock_entropy_disk_or_socket() -> None:
    wrong = [
        f"{path}:{line} imports {module}"
        for path, tree in sources("runtime")
        for line, module in imported_modules(tree)
        if module.split(".")[0] in sys.stdlib_module_names and module.split(".")[0] not in RUNTIME_MODULES
    ]
    assert not wrong, "\n".join(wrong)


def test_the_runtime_holds_no_floating_point() -> None:
    wrong = []
    for path, tree in sources("runtime"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, (float, complex)):
                wrong.append(f"{path}:{node.lineno} float literal {node.value}")
            elif isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div):
                wrong.append(f"{path}:{node.lineno} true division")
            elif isinstance(node, ast.Name) and node.id == "float":
                wrong.append(f"{path}:{node.lineno} float")
    assert not wrong, "\n".join(wrong)


def test_the_runtime_never_walks_a_set() -> None:
    """Iterating a set follows hash order, which differs between processes."""
    wrong = []
    for path, tree in sources("runtime"):
        for node in ast.walk(tree):
            iterables = [node.iter] if isinstance(node, (ast.For, ast.comprehension)) else []
            for iterable in iterables:
                is_set_call = isinstance(iterable, ast.Call) and isinstance(iterable.func, ast.Name)
                if isinstance(iterable, (ast.Set, ast.SetComp)) or (
                    is_set_call and iterable.func.id in ("set", "frozenset")  # type: ignore[attr-defined]
                ):
                    wrong.append(f"{path}:{iterable.lineno}")
    assert not wrong, "\n".join(wrong)


def test_a_node_never_loads_torch_or_numpy() -> None:
    for package in ("runtime", "chain", "rpc", "node", "solvent"):
        for path, tree in sources(package):
            for line, module in imported_modules(tree):
                assert module.split(".")[0] not in ("torch", "numpy"), f"{path}:{line}"
