"""How long a dispute about a large model can get, derived without running anything."""

from __future__ import annotations

from runtime.codec import encode
from runtime.commitments import tensor_root
from runtime.dispute.bounds import descent_moves, maximum_moves
from runtime.dispute.moves import MAX_MOVE_BYTES, OpenOperand
from runtime.trees import depth_of
from runtime.vm.job import Job
from tests.dispute.toy import NOTHING, Builder, bits


def test_a_hundred_million_parameters_are_settled_in_26_moves() -> None:
    """A hundred steps of 2,000 values, a square matrix of 10^8 elements, and a product over 10^6 terms."""
    at = Builder()
    weight = at.input("state", "weight", "f32", 10_000, 10_000)
    row = at.input("state", "row", "f32", 1, 10**6)
    for _ in range(1_000):
        at.node("mul", row, at.node("fill", attributes=(bits(0.5),)))
    scale = at.node("matmul", row, row, attributes=(0, 1))
    checked = at.check(weight=at.node("mul", at.node("matmul", weight, weight, attributes=(1, 0)), scale), row=row)
    job = Job(checked.root, bytes(32), 0, 100, 0, NOTHING, (), tensor_root(b""), 0)
    assert checked.step_width > 2_000
    assert maximum_moves(checked, job) == 26


def test_a_descent_takes_two_moves_for_each_six_levels() -> None:
    assert [descent_moves(width) for width in (1, 2, 64, 65, 4096, 4097, 2**18)] == [0, 2, 2, 4, 4, 6, 6]


def test_the_largest_honest_opening_fits_half_of_a_move() -> None:
    """A chunk of a tensor of 2^40 bytes among 2^30 samples."""
    paths = ((bytes(32),) * depth_of(2**28), bytes(32), (bytes(32),) * depth_of(2**30))
    assert len(encode(OpenOperand(bytes(4096), *paths))) <= MAX_MOVE_BYTES // 2
