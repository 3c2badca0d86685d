"""How much the objects of a node hold: the length of every container that can be reached from one of them.

A container is named by the way to it, through attributes: ``chain.importer._authored``. Containers in containers count
together under their parent's name and ``[]``. Objects of this project and of py-libp2p are walked into, wherever they
hang; those of the interpreter and of other libraries are not.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping
from typing import Any

PACKAGES = ("chain", "p2p", "rpc", "node", "runtime", "libp2p")


def measure(root: Any, name: str, skip: Collection[type] = ()) -> Counter[str]:
    """Container -> items in it, for all that hangs on ``root``, but not on objects of the types to ``skip``."""
    sizes: Counter[str] = Counter()
    seen: set[int] = set()
    waiting: deque[tuple[str, Any]] = deque([(name, root)])
    while waiting:
        path, item = waiting.popleft()
        if id(item) in seen or isinstance(item, tuple(skip)):
            continue
        seen.add(id(item))
        if isinstance(item, Mapping | list | set | deque):
            sizes[path] += len(item)
            inside = item.values() if isinstance(item, Mapping) else item
            waiting.extend((f"{path}[]", value) for value in inside if _is_worth_a_look(value))
        elif type(item).__module__.split(".")[0] in PACKAGES:
            waiting.extend((f"{path}.{key}", value) for key, value in _attributes(item) if _is_worth_a_look(value))
    return sizes


def _attributes(item: Any) -> Iterator[tuple[str, Any]]:
    for cls in type(item).__mro__:
        for key in getattr(cls, "__slots__", ()):
            if hasattr(item, key):
                yield key, getattr(item, key)
    yield from getattr(item, "__dict__", {}).items()


def _is_worth_a_look(value: Any) -> bool:
    return isinstance(value, Mapping | list | set | deque) or type(value).__module__.split(".")[0] in PACKAGES
