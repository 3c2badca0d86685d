"""The price of a program: sum tree, proofs, and units."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from runtime.vm.check import check_program
from runtime.vm.gas import GasNode, GasTree, gas_entries, gas_units, job_gas, task_gas, verify_gas_path
from runtime.vm.program import Input, Named, Node, Program
from tests.vm.programs import classifier

CHECKED = check_program(classifier())
ENTRIES = gas_entries(CHECKED)
TREE = GasTree(ENTRIES)
WIDTH = len(ENTRIES)


def changed(record: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(record, **changes)


def test_the_roots_sum_is_the_gas_of_a_step() -> None:
    assert TREE.root.gas == CHECKED.gas == sum(entry.gas for entry in ENTRIES)
    assert ENTRIES[1].op == "matmul"
    assert ENTRIES[1].inputs == ("f32[3, 5]", "f32[5, 4]")
    assert ENTRIES[1].gas == 3 * 4 * 5


@pytest.mark.parametrize("index", range(WIDTH))
def test_every_node_proves_its_share(index: int) -> None:
    path = TREE.path(index)
    assert verify_gas_path(TREE.root, WIDTH, index, ENTRIES[index], path)
    for wrong in (index + 1, index - 1, index ^ 2, -1, WIDTH):
        assert not verify_gas_path(TREE.root, WIDTH, wrong, ENTRIES[index], path)
    for change in ({"gas": ENTRIES[index].gas + 1}, {"op": "neg_"}, {"attributes": (9,)}, {"outputs": ("f32[7]",)}):
        assert not verify_gas_path(TREE.root, WIDTH, index, changed(ENTRIES[index], **change), path)
    assert not verify_gas_path(TREE.root, WIDTH, index, ENTRIES[index], path[:-1])
    assert not verify_gas_path(TREE.root, WIDTH, index, ENTRIES[index], (*path, path[0]))


@pytest.mark.parametrize("gas", [-1, 1 << 62, 1 << 64, 1 << 200])
def test_a_sum_cannot_be_moved_between_siblings(gas: int) -> None:
    path = TREE.path(0)
    assert not verify_gas_path(TREE.root, WIDTH, 0, ENTRIES[0], (GasNode(path[0].hash, gas), *path[1:]))
    root = GasNode(TREE.root.hash, TREE.root.gas + gas)
    assert not verify_gas_path(root, WIDTH, 0, ENTRIES[0], path)


@pytest.mark.parametrize("index", range(WIDTH))
def test_a_sum_cannot_be_moved_between_levels(index: int) -> None:
    first, second, *rest = TREE.path(index)
    for shift in (1, -1):
        moved = GasNode(first.hash, first.gas + shift), GasNode(second.hash, second.gas - shift)
        assert not verify_gas_path(TREE.root, WIDTH, index, ENTRIES[index], (*moved, *rest))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 9])
def test_a_tree_of_any_width_proves_its_leaves(count: int) -> None:
    tree = GasTree(ENTRIES[:count])
    assert tree.root.gas == sum(entry.gas for entry in ENTRIES[:count])
    assert all(verify_gas_path(tree.root, count, i, ENTRIES[i], tree.path(i)) for i in range(count))


def test_units_are_rounded_up_once_for_a_job() -> None:
    assert [gas_units(n) for n in (0, 1, 1000, 1001)] == [0, 1, 1, 2]
    source = Input("state", "x", "f32", (700,))
    checked = check_program(Program(1, (source,), (Node("neg", (), (0,)),), (Named("x", 1),), ()))
    assert job_gas(checked, 1) == 1
    assert job_gas(checked, 3) == 3
    assert job_gas(checked, 10) == 7
    init = check_program(Program(1, (), (Node("fill", (0, 700), ()),), (Named("x", 0),), ()))
    assert task_gas(checked, 10, init) == 8
