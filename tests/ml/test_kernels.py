"""The kernels against the definition: the interpreter, and references that share no code with either."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ml import kernel_build, kernels, selftest
from ml.backend import FpuModeError, Instruction, KernelMismatch
from ml.executor import Executor
from ml.kernels import INSTRUCTION_SETS, CpuBackend, KernelsStale, Plan, Pool
from ml.selftest import ELEMENTS, ordinary_floats, wild_floats, words
from tests.ml.kernel_cases import BACKENDS, execute, interpret, one_operator

seeds = st.integers(0, 2**32 - 10)
small = st.integers(1, 6)


def floats(shape: tuple[int, ...], seed: int, wild: bool) -> np.ndarray:
    count = int(np.prod(shape))
    return (wild_floats if wild else ordinary_floats)(count, seed).reshape(shape)


def labels(count: int, seed: int, classes: int) -> np.ndarray:
    """Labels of which some lie just outside the classes."""
    return (words(count, seed) % np.uint32(classes + 2)).astype(np.int32) - np.int32(1)


def assert_defined(op: str, attributes: tuple[int, ...], arrays: list[np.ndarray]) -> None:
    """Every backend gives the bits of the interpreter, for every output, in both placements."""
    checked = one_operator(op, attributes, arrays)
    expected = interpret(checked, arrays)
    for backend in BACKENDS:
        assert execute(checked, arrays, backend=backend) == expected, (op, backend.name)


@settings(max_examples=12, deadline=None)
@given(small, st.integers(1, 40), st.integers(1, 20), st.integers(0, 3), seeds, st.booleans())
def test_matmul_is_the_interpreters(rows: int, columns: int, inner: int, flags: int, seed: int, wild: bool) -> None:
    ta, tb = flags & 1, flags >> 1
    a = floats((inner, rows) if ta else (rows, inner), seed, wild)
    b = floats((columns, inner) if tb else (inner, columns), seed + 1, wild)
    assert_defined("matmul", (ta, tb), [a, b])


SHAPES = (((3, 17), (3, 17)), ((2, 1, 5), (4, 1)), ((), (3, 7)), ((1,), (1,)), ((5, 1), (1, 6)), ((4, 3), (3,)))
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum", "equal", "less", "less_equal")


@pytest.mark.parametrize("op", BINARY)
def test_binary_operators_broadcast_as_the_interpreter_does(op: str) -> None:
    for left, right in SHAPES:
        assert_defined(op, (), [floats(left, 1, True), floats(right, 2, True)])


@pytest.mark.parametrize("op", ["neg", "abs", "sqrt", "exp", "log", "relu"])
def test_unary_operators_are_the_interpreters_on_special_values(op: str) -> None:
    assert_defined(op, (), [floats((8 * len(selftest.SPECIALS),), 3, True)])


@settings(max_examples=10, deadline=None)
@given(rows=st.integers(1, 5), columns=st.integers(1, 40), seed=seeds, wild=st.booleans())
def test_row_operators_are_the_interpreters(rows: int, columns: int, seed: int, wild: bool) -> None:
    x, other = floats((rows, columns), seed, wild), floats((rows, columns), seed + 1, wild)
    assert_defined("row_sum", (), [x])
    assert_defined("col_sum", (), [x])
    assert_defined("log_softmax", (), [x])
    assert_defined("log_softmax_backward", (), [other, x])
    assert_defined("relu_backward", (), [other, x])
    assert_defined("nll", (), [x, labels(rows, seed, columns)])
    assert_defined("nll_backward", (columns,), [floats((), seed, wild), labels(rows, seed, columns)])


@settings(max_examples=8, deadline=None)
@given(shape=st.tuples(small, small), seed=seeds, wild=st.booleans())
def test_moves_casts_and_choices_are_the_interpreters(shape: tuple[int, int], seed: int, wild: bool) -> None:
    x, y = floats(shape, seed, wild), floats(shape, seed + 1, wild)
    raw = words(shape[0] * shape[1], seed).reshape(shape)
    small_raw = raw.astype(np.uint8)
    assert_defined("transpose", (), [x])
    assert_defined("transpose", (), [small_raw])
    assert_defined("reshape", (shape[0] * shape[1], 1), [x])
    assert_defined("broadcast_to", (3, shape[0], shape[1]), [x])
    assert_defined("broadcast_to", (*shape, 4), [raw.reshape(*shape, 1)])
    assert_defined("select", (), [(raw & 1).astype(np.int32), x, y])
    assert_defined("select", (), [(raw & 1).astype(np.int32), raw.view(np.int32), y.view(np.int32)])
    for source, target in ((small_raw, 0), (raw.view(np.int32), 0), (raw, 0), (x, 1), (small_raw, 1)):
        assert_defined("cast", (target,), [source])


@pytest.mark.parametrize(
    "attributes", [(0x3F666666, 0, 0), (0, 0x3A83126F, 0), (0x3F666666, 0x3A83126F, 1), (0x7F800000, 1, 1)]
)
def test_sgd_is_the_interpreters(attributes: tuple[int, int, int]) -> None:
    for wild in (False, True):
        assert_defined("sgd", attributes, [*(floats((5, 7), seed, wild) for seed in (1, 2, 3)), floats((), 4, False)])


def test_long_sums_are_the_interpreters() -> None:
    assert_defined("col_sum", (), [floats((515, 2), 1, False)])
    assert_defined("row_sum", (), [floats((2, 515), 2, False)])
    assert_defined("block_sum", (), [floats((4099,), 3, False)])


def test_uniform_and_fill_are_the_interpreters() -> None:
    for attributes in ((0xBD124925, 0x3D124925, 3, 5), (0x00000001, 0x7F800000, 7)):
        checked = one_operator("uniform", attributes, [], key=True)
        for backend in BACKENDS:
            assert execute(checked, [], step=2**32 - 1, backend=backend) == interpret(checked, [], step=2**32 - 1)
    assert_defined("fill", (0x7F812345, 3, 2), [])


# -- References of other making ---------------------------------------------------------------------------------------


def fused(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """a * b + c rounded once to f32, by exact products, TwoSum and rounding to odd in f64."""
    product, addend = a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)
    bits = total.view(np.int64)
    nudge = np.where((error > 0) == (total > 0), 1, -1)
    odd = np.where((error != 0) & (bits & 1 == 0), bits + nudge, bits)
    return odd.view(np.float64).astype(np.float32)


def matmul_reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Finite matrices; blocks of 256 along k, fused in ascending order, block sums added in order."""
    total = np.zeros((a.shape[0], b.shape[1]), np.float32)
    for start in range(0, a.shape[1], 256):
        block = np.zeros_like(total)
        for k in range(start, min(start + 256, a.shape[1])):
            block = fused(np.broadcast_to(a[:, k : k + 1], block.shape), np.broadcast_to(b[k], block.shape), block)
        total = block if start == 0 else total + block
    return total


EDGES = [
    (1, 1, 255), (1, 33, 256), (47, 1, 257), (9, 65, 511), (64, 10, 64), (10, 64, 513), (13, 17, 1), (31, 32, 300),
    (70, 95, 33), (2, 3, 2305), (5, 40, 4100),
]  # fmt: skip


@pytest.mark.parametrize("size", EDGES)
def test_matmul_is_the_definition_at_awkward_sizes(size: tuple[int, int, int]) -> None:
    rows, columns, inner = size
    a, b = floats((rows, inner), 1, False), floats((inner, columns), 2, False)
    expected = matmul_reference(a, b).tobytes()
    for ta, tb in ((0, 0), (0, 1), (1, 0), (1, 1)):
        left, right = np.ascontiguousarray(a.T if ta else a), np.ascontiguousarray(b.T if tb else b)
        operands = [left, right, np.zeros(rows * columns, np.float32)]
        instruction = Instruction("matmul", (rows, columns, inner), (0, 1), (2,), (ta, tb), work=10**9)
        plan = Plan([instruction], [operand.ctypes.data for operand in operands])
        for name in INSTRUCTION_SETS:
            for threads in (1, 2, 3):
                operands[2].fill(-1)
                plan.run(Pool(threads), name, 0, 1, 0)
                assert operands[2].tobytes() == expected, (name, threads, ta, tb)


# -- Threads, instruction sets, modes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INSTRUCTION_SETS)
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_neither_threads_nor_instruction_sets_change_a_bit(
    name: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = selftest.compute_digests(CpuBackend(1, INSTRUCTION_SETS[-1]))
    worth_threads = tuple(dataclasses.replace(case, work=10**9) for case in selftest.CASES)
    monkeypatch.setattr(selftest, "CASES", worth_threads)
    assert selftest.compute_digests(CpuBackend(threads, name)) == expected


def test_the_self_test_covers_every_kernel() -> None:
    covered = {case.op for case in selftest.CASES} | {"move_byte"}
    names = {name.removeprefix("OP_").lower() for name in dir(kernels.lib) if name.startswith("OP_")} - {"count"}
    assert covered == names


def test_a_kernel_that_computes_other_bits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "DIGEST", "00" * 16)
    monkeypatch.setattr(selftest, "_passed", set())
    with pytest.raises(KernelMismatch, match="other bits than the definition"):
        Executor(one_operator("neg", (), [np.zeros(1, np.float32)]))


def test_a_build_of_other_sources_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    folder = tmp_path / "ml" / "csrc"
    folder.mkdir(parents=True)
    compiled = SimpleNamespace(ffi=kernels.ffi, lib=kernels.lib, __file__="ml/_kernels.abi3.so")
    kernels.check_build(compiled, folder)  # an installed package: no sources, nothing to compare
    (folder / "solvent.h").write_text("other sources")
    with pytest.raises(KernelsStale, match=r"other sources .* python setup.py build_ext --inplace"):
        kernels.check_build(compiled, folder)
    built_before_fingerprints = SimpleNamespace(ffi=kernels.ffi, lib=object(), __file__="ml/_kernels.abi3.so")
    with pytest.raises(KernelsStale, match="older ones"):
        kernels.check_build(built_before_fingerprints, folder)


def test_a_fingerprint_changes_with_every_file_and_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.c").write_text("int a;")
    seen = {kernel_build.fingerprint(tmp_path)}
    (tmp_path / "a.c").write_text("int b;")
    seen.add(kernel_build.fingerprint(tmp_path))
    (tmp_path / "b.h").write_text("")
    seen.add(kernel_build.fingerprint(tmp_path))
    monkeypatch.setattr(kernel_build, "FLAGS", ("-O2",))
    seen.add(kernel_build.fingerprint(tmp_path))
    assert len(seen) == 4


def test_a_thread_that_flushes_subnormals_is_refused() -> None:
    x = np.ones(ELEMENTS, np.float32)
    plan = Plan([Instruction("exp", (ELEMENTS,), (0,), (0,))], [x.ctypes.data])
    assert torch.set_flush_denormal(True)
    try:
        with pytest.raises(FpuModeError, match="flushes subnormal"):
            plan.run(Pool(1), INSTRUCTION_SETS[0], 0, 1, 0)
    finally:
        torch.set_flush_denormal(False)
    assert (x == 1).all(), "nothing was computed"
