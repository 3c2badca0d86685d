"""The graphics card's kernels without a card: their bits as host code, and what NVRTC makes of them."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from ml import kernels, selftest
from ml.cuda import compiler, driver, launches
from ml.cuda.machine import CudaBackend
from ml.data import Dataset
from ml.devices import DeviceMissing, _card, open_backend
from ml.executor import Executor
from ml.job import JobInputs, run_segment
from tests.ml import kernel_cases, test_kernels, test_kernels_convolution, test_kernels_general
from tests.ml.cuda_host import host_backend
from tests.ml.training import job_of, start_state, train_both

ARCHITECTURES = (70, 75, 80, 86, 89, 90)
WITHOUT_CARD = "this machine has no CUDA device: the kernels' bits were only checked as host code"
WITHOUT_NVRTC = "NVRTC is not installed, so nothing was compiled for a card: pip install nvidia-cuda-nvrtc-cu12"


@pytest.fixture(scope="module")
def assembly() -> str:
    if not compiler.is_available():
        pytest.skip(WITHOUT_NVRTC)
    return compiler.compile_kernels(80, binary=False).decode()


def test_the_kernels_as_host_code_give_the_bits_of_the_cpu() -> None:
    expected = selftest.compute_digests(kernels.CpuBackend(1))
    found = selftest.compute_digests(host_backend())
    assert [case for case, left, right in zip(selftest.CASES, found, expected, strict=True) if left != right] == []


def test_every_operator_has_a_kernel() -> None:
    names = {name.removeprefix("OP_").lower() for name in dir(kernels.lib) if name.startswith("OP_")} - {"count"}
    assert launches.operators() == names


SHARED = [
    test_kernels.test_matmul_is_the_interpreters,
    test_kernels.test_row_operators_are_the_interpreters,
    test_kernels.test_moves_casts_and_choices_are_the_interpreters,
    test_kernels.test_long_sums_are_the_interpreters,
    test_kernels.test_uniform_and_fill_are_the_interpreters,
    test_kernels_convolution.test_convolutions_are_the_interpreters,
    test_kernels_convolution.test_a_deep_convolution_sums_in_blocks,
    test_kernels_convolution.test_pools_are_the_interpreters,
    test_kernels_convolution.test_a_place_outside_its_window_gets_nothing,
    *(
        value
        for name, value in vars(test_kernels_general).items()
        if name.startswith("test_") and not hasattr(value, "pytestmark")
    ),
]
"""Properties that the CPU's kernels are tested for."""


@pytest.fixture
def _only_the_cards_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (kernel_cases, test_kernels, test_kernels_general):
        monkeypatch.setattr(module, "BACKENDS", (host_backend(),))


@pytest.mark.usefixtures("_only_the_cards_kernels")
@pytest.mark.parametrize("test", SHARED, ids=lambda test: test.__name__.removeprefix("test_"))
def test_on_the_cards_kernels(test: Callable[[], None]) -> None:
    test()


def test_training_ends_in_the_same_bits() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 16),
        nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.2), nn.Linear(16, 10),
    )  # fmt: skip
    generator = np.random.default_rng(1)
    image = generator.integers(0, 256, (32, 1, 8, 8), dtype=np.uint8)
    data = Dataset({"image": image, "label": generator.integers(0, 10, 32, dtype=np.int32)})
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    task = train_both(model, torch.optim.AdamW(model.parameters()), nn.CrossEntropyLoss(), data, steps=2).task
    model.load_state_dict(start)
    checked, _, _ = task.check()
    inputs = JobInputs(job_of(checked, task, data, 8), data.fields, task.scalars)
    state = start_state(task, model)
    ends = [
        run_segment(Executor(checked, backend=backend), inputs, state, lambda _, found: None)
        for backend in (kernels.CpuBackend(1), host_backend())
    ]
    assert ends[0].keys() == ends[1].keys()
    assert [name for name, array in ends[0].items() if array.tobytes() != ends[1][name].tobytes()] == []


def test_the_assembly_holds_every_kernel(assembly: str) -> None:
    assert sorted(re.findall(r"\.entry (\w+)\(", assembly)) == launches.kernels()


def test_nothing_in_the_assembly_is_approximate_contracted_or_flushed(assembly: str) -> None:
    operations = re.findall(r"^\s+(?:@!?%p\d+ )?([a-z][\w.]*\.f(?:32|64)[\w.]*)", assembly, re.MULTILINE)
    assert len(operations) > 1000
    assert [name for name in operations if ".approx" in name or ".ftz" in name or ".sat" in name] == []
    rounded = [name for name in operations if re.match(r"(add|sub|mul|div|sqrt|rcp|fma|mad)\.", name)]
    assert [name for name in rounded if ".rn." not in name] == []
    assert [name for name in operations if name.startswith(("fma.rn.f64", "mad"))] == []


def test_only_products_fuse(assembly: str) -> None:
    bodies = re.findall(r"\.entry (\w+)\((.*?)\n}", assembly, re.DOTALL)
    fusing = {name for name, body in bodies if "fma." in body}
    assert fusing == {"solvent_matmul", "solvent_batch_matmul", "solvent_conv2d"}


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_kernels_compile_for_every_architecture(architecture: int) -> None:
    if not compiler.is_available():
        pytest.skip(WITHOUT_NVRTC)
    assert compiler.compile_kernels(architecture, binary=True)[:4] == b"\x7fELF"


def test_a_machine_without_a_card_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LIBRARY", "libcuda-that-is-not-there.so.1")
    _card.cache_clear()
    with pytest.raises(DeviceMissing, match="no CUDA device: libcuda"):
        open_backend("cuda")


def test_a_card_gives_the_committed_digest() -> None:
    try:
        device = driver.CudaDevice()
    except driver.CudaError:
        pytest.skip(WITHOUT_CARD)
    selftest.check(CudaBackend(device))


def test_what_the_driver_reports_is_an_error_in_words() -> None:
    device = host_backend().device
    with pytest.raises(driver.CudaError, match="no 0 bytes of the card's memory: invalid argument"):
        device.allocate(0)
    with pytest.raises(driver.CudaError, match="solvent_nothing: named symbol not found"):
        device.launch(launches.Launch("solvent_nothing", 1), 0, 0)
