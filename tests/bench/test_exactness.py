"""The checks of exactness check something: a planted error is found, what is missing is named, nothing is lost."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bench import cross, cross_suite, exhaustive, sanitize
from bench.report import silent
from ml import numpy_math
from ml.executor import Executor
from ml.kernels import CpuBackend
from tests.ml.kernel_cases import job_of, one_operator


@pytest.fixture(scope="module")
def suite() -> cross_suite.Suite:
    return cross_suite.record(True, silent)


def test_a_suite_holds_every_operator_and_a_training(suite: cross_suite.Suite) -> None:
    assert [case.name for case in suite.cases] == ["operators", *["MLP 784-128-64-10"] * 2]
    assert all(case.expected for case in suite.cases)
    assert suite.locate(suite.expected[:-1]) != ""
    assert suite.locate(b"\xff" + suite.expected[1:]) == "operators, value 0 that is read, byte 0 of 38400"


def test_a_recording_computes_what_it_records(suite: cross_suite.Suite) -> None:
    again = cross_suite.record(True, silent)
    assert again.file == suite.file
    assert again.expected == suite.expected


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_another_compiler_gives_the_same_bits_and_contraction_is_noticed(
    suite: cross_suite.Suite, tmp_path: Path
) -> None:
    file = tmp_path / "suite"
    file.write_bytes(suite.file)
    build = cross.BUILDS[0]
    assert not cross.missing(build)
    for arguments, equal in ((("-O1",), True), (("-O3", "-ffp-contract=fast"), False)):
        changed = dataclasses.replace(build, arguments=arguments)
        cross.compile_driver(changed, tmp_path / "driver")
        outcomes = {one.instruction_set: one.equal for one in cross.replay(changed, tmp_path / "driver", suite, file)}
        assert outcomes["baseline"], "without an instruction for it there is nothing to contract to"
        assert outcomes["avx2"] == equal
    with pytest.raises(cross.CrossError, match="fast-math"):
        cross.compile_driver(dataclasses.replace(build, arguments=("-Ofast",)), tmp_path / "driver")


@pytest.mark.slow
@pytest.mark.timeout(1200)  # compiling with sanitizers takes a busy machine minutes
def test_a_kernel_that_leaves_its_value_by_one_byte_is_stopped(tmp_path: Path) -> None:
    recorder = cross_suite.Recorder(CpuBackend(), guarded=True)
    x = np.arange(5, dtype=np.float32)
    checked = one_operator("neg", (), [x])
    Executor(checked, backend=recorder).run_step({"t0": x}, job_of(checked), 0, {}, (), keep_values=True)
    build = dataclasses.replace(cross.BUILDS[0], arguments=sanitize.SANITIZERS["address, undefined"])
    cross.compile_driver(build, tmp_path / "driver")
    file, suite = tmp_path / "suite", cross_suite.suite_of(recorder)
    file.write_bytes(suite.file)
    assert all(outcome.equal for outcome in cross.replay(build, tmp_path / "driver", suite, file))
    case = recorder.cases[-1]
    assert any(action[0] == cross_suite.GUARD for action in case.actions)
    case.placement.schedule = [dataclasses.replace(one, sizes=(6,)) for one in case.placement.schedule]
    file.write_bytes(cross_suite.suite_of(recorder).file)
    with pytest.raises(cross.CrossError, match="use-after-poison"):
        cross.replay(build, tmp_path / "driver", suite, file)


def test_a_missing_compiler_or_emulator_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    build = next(build for build in cross.BUILDS if build.target == "riscv64")
    said = cross.missing(build)
    assert said.startswith("NOT RUN: no riscv64-linux-gnu-gcc and no qemu-riscv64 ")
    assert "gcc-riscv64-linux-gnu" in said


def test_every_function_is_right_on_a_few_blocks_of_floats() -> None:
    for name in exhaustive.FUNCTIONS:
        for first in (0x00000000, 0x3F7FF000, 0x42AFF000, 0x7F7FF000, 0x807FF000, 0xC2CFE000, 0xFF7FF000):
            count = exhaustive.check(name, np.arange(first, first + 8192, dtype=np.uint32))
            assert (count.checked, count.wrong) == (8192, 0), (name, hex(first), count)
            assert count.farthest <= 1 or name == "gelu_slope"


def test_a_function_that_is_off_by_one_bit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = dataclasses.replace(exhaustive.FUNCTIONS["exp"], reference=lambda x: (np.exp(x) * (1 + 2.0**-25), 0 * x))
    monkeypatch.setitem(exhaustive.FUNCTIONS, "exp", wrong)
    count = exhaustive.check("exp", np.arange(0x3F000000, 0x3F001000, dtype=np.uint32))
    assert 1000 < count.wrong == count.inexact < 3000
    assert len(count.examples) == exhaustive.EXAMPLES


def test_the_undecided_are_decided_with_300_bits() -> None:
    """Next to 1, exp(x) = 1 + x lies so close to half-way between two floats that float64 cannot tell."""
    words = np.array([0x33800000, 0xB3000000], np.uint32)  # 2^-24, -2^-25
    bits, undecided = exhaustive._nearest(exhaustive.FUNCTIONS["exp"], words)
    assert undecided == 2
    assert bits.tolist() == [0x3F800001, 0x3F800000]


def test_a_run_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    journal = exhaustive.Journal(tmp_path, "exp")
    journal.add(3, exhaustive.Count(checked=5, wrong=1, examples=("00000000: 1 for 2",)))
    journal.path.write_text(journal.path.read_text() + '{"chunk": 4, "cou')  # killed while writing
    again = exhaustive.Journal(tmp_path, "exp")
    assert list(again.done) == [3]
    assert again.total() == exhaustive.Count(checked=5, wrong=1, examples=("00000000: 1 for 2",))


def test_numpy_decides_hard_arguments_as_the_kernels_do() -> None:
    x = np.array([0x33800000, 0xB3000000, 0x3D8BE640, 0x41202020], np.uint32).view(np.float32)
    machine = exhaustive._machines("exp")[0]
    machine.write(0, np.resize(x, exhaustive.BLOCK))
    machine.run(0, 1, 0)
    assert machine.read(1)[:4].tobytes() == numpy_math.exp(x).tobytes()
