"""CIFAR in both published forms, read alike; a pickle that wants more than arrays is refused before it acts."""

import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from petlsparse.data import load_data
from petlsparse.data.files import cifar
from petlsparse.errors import UserError
from tests.data.formats import write_python2_pickle

PER_BATCH = 1_010  # five batches leave 50 training images beside the 5,000 for validation


def cifar10_batches() -> dict[str, tuple[np.ndarray, list[int]]]:
    rng = np.random.default_rng(1)
    stems = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    return {
        stem: (rng.integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8), rng.integers(0, 10, PER_BATCH).tolist())
        for stem in stems
    }


def write_cifar10(folder: Path, form: str) -> dict[str, tuple[np.ndarray, list[int]]]:
    batches = cifar10_batches()
    folder.mkdir()
    for stem, (pixels, labels) in batches.items():
        if form == "pickle":
            batch = {b"batch_label": stem.encode(), b"labels": labels, b"data": pixels, b"filenames": [b"a.png"]}
            write_python2_pickle(folder / stem, batch)
        else:
            records = b"".join(bytes([y]) + x.tobytes() for x, y in zip(pixels, labels, strict=True))
            (folder / f"{stem}.bin").write_bytes(records)
    return batches


@pytest.mark.parametrize(("form", "folder"), [("pickle", "cifar-10-batches-py"), ("binary", "cifar-10-batches-bin")])
def test_cifar10_first_batches_train_last_5000_validate(data_root: Path, form: str, folder: str) -> None:
    batches = write_cifar10(data_root / folder, form)
    data = load_data("cifar10")
    assert (len(data.train), len(data.val), len(data.test())) == (50, 5_000, PER_BATCH)
    pixels, labels = batches["data_batch_1"]
    # A row holds the red plane, then green, then blue, each row by row.
    assert data.train.images[7, 1, 2, 3] == int(pixels[7, 1024 + 2 * 32 + 3])
    assert data.train.labels.tolist() == labels[:50]
    assert data.val.labels[-1] == batches["data_batch_5"][1][-1]
    assert data.test().labels.tolist() == batches["test_batch"][1]
    assert data.mean == (0.4914, 0.4822, 0.4465)
    assert data.std == (0.2023, 0.1994, 0.2010)


@pytest.mark.parametrize("form", ["pickle", "binary"])
def test_cifar100_uses_fine_labels_and_holds_out_a_tenth_of_each_class(data_root: Path, form: str) -> None:
    fine = np.tile(np.arange(100), 10)
    pixels = np.repeat(np.arange(1000, dtype=np.uint16).view(np.uint8).reshape(1000, 2), 1536, axis=1)
    folder = data_root / ("cifar-100-python" if form == "pickle" else "cifar-100-binary")
    for stem in ("train", "test"):
        if form == "pickle":
            batch = {b"fine_labels": fine.tolist(), b"coarse_labels": (fine // 5).tolist(), b"data": pixels}
            write_python2_pickle(folder / stem, batch)
        else:
            folder.mkdir(exist_ok=True)
            records = [bytes([y // 5, y]) + x.tobytes() for x, y in zip(pixels, fine.tolist(), strict=True)]
            (folder / f"{stem}.bin").write_bytes(b"".join(records))
    data = load_data("cifar100")
    assert torch.bincount(data.val.labels).tolist() == [1] * 100
    assert torch.bincount(data.train.labels).tolist() == [9] * 100
    assert data.test().labels.tolist() == fine.tolist()
    assert (data.mean, data.std) == ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harm",)


def test_malicious_pickle_is_refused_and_does_nothing(data_root: Path) -> None:
    write_cifar10(data_root / "cifar-10-batches-py", "pickle")
    bad = {"data": Malicious()}
    (data_root / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps(bad, protocol=2))
    with pytest.raises(UserError, match=r"refused to load \w+\.mkdir"):
        load_data("cifar10")
    assert not Path("harm").exists()


@pytest.mark.parametrize("name", ["builtins.eval", "os.system", "numpy.load", "codecs.encode", "builtins.getattr"])
def test_nothing_but_arrays_is_admitted(tmp_path: Path, name: str) -> None:
    module, attribute = name.split(".")
    (tmp_path / "batch").write_bytes(f"c{module}\n{attribute}\n.".encode())
    with pytest.raises(UserError, match=f"refused to load {name}"):
        cifar.read_pickle(tmp_path / "batch", b"labels")


BAD_BATCHES = {
    "no labels": {b"data": np.zeros((2, 3072), np.uint8)},
    "wrong width": {b"data": np.zeros((2, 3000), np.uint8), b"labels": [0, 1]},
    "floats": {b"data": np.zeros((2, 3072)), b"labels": [0, 1]},
    "label missing": {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]},
    "no dictionary": [1, 2],
}


@pytest.mark.parametrize("damage", BAD_BATCHES)
def test_batches_of_another_shape_are_refused(tmp_path: Path, damage: str) -> None:
    write_python2_pickle(tmp_path / "batch", BAD_BATCHES[damage])
    with pytest.raises(UserError, match="batch: cannot read CIFAR images"):
        cifar.read_pickle(tmp_path / "batch", b"labels")


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "some.bin").write_bytes(bytes(3073 * 2 - 1))
    with pytest.raises(UserError, match="whole number of records"):
        cifar.read_binary(tmp_path / "some.bin", 10)
    write_python2_pickle(tmp_path / "batch", {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]})
    (tmp_path / "batch").write_bytes((tmp_path / "batch").read_bytes()[:-900])
    with pytest.raises(UserError, match="batch"):
        cifar.read_pickle(tmp_path / "batch", b"labels")


def test_labels_outside_the_classes_are_refused(data_root: Path) -> None:
    folder = data_root / "cifar-10-batches-bin"
    write_cifar10(folder, "binary")
    (folder / "data_batch_2.bin").write_bytes(bytes([10]) + bytes(3072))
    with pytest.raises(UserError, match=r"0\.\.9"):
        load_data("cifar10")


@pytest.mark.parametrize("form", ["pickle", "binary"])
def test_batches_that_were_compressed_where_they_lie_are_read(data_root: Path, form: str) -> None:
    folder = data_root / ("cifar-10-batches-py" if form == "pickle" else "cifar-10-batches-bin")
    batches = write_cifar10(folder, form)
    for file in list(folder.iterdir()):
        file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes(), 1))
        file.unlink()
    assert load_data("cifar10").test().labels.tolist() == batches["test_batch"][1]


LABELS = {
    "list": [3, 1],
    "array": np.array([3, 1], np.uint8),
    "numpy numbers": [np.int64(3), np.int64(1)],
    "tuple": (3, 1),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("key", ["labels", b"labels"])
def test_any_protocol_keys_and_whole_numbers_are_read(
    tmp_path: Path, protocol: int, kind: str, key: str | bytes
) -> None:
    pixels = np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8).reshape(2, 3072)
    batch = {key: LABELS[kind], "data" if isinstance(key, str) else b"data": pixels, "empty": b""}
    (tmp_path / "batch").write_bytes(pickle.dumps(batch, protocol=protocol))
    read, labels = cifar.read_pickle(tmp_path / "batch", b"labels")
    assert np.array_equal(read, pixels)
    assert labels.tolist() == [3, 1]
    assert labels.dtype == np.int64


@pytest.mark.parametrize("labels", [[0.5, 1.0], [[0], [1]], ["a", "b"], None])
def test_labels_that_are_no_whole_numbers_are_refused(tmp_path: Path, labels: object) -> None:
    (tmp_path / "batch").write_bytes(pickle.dumps({"data": np.zeros((2, 3072), np.uint8), "labels": labels}))
    with pytest.raises(UserError, match="labels are not a list of whole numbers"):
        cifar.read_pickle(tmp_path / "batch", b"labels")


BROKEN = {"empty": b"", "header": b"\x1f\x8b", "cut off": gzip.compress(bytes(3073))[:-9], "no gzip": b"plain"}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_archive_is_refused_with_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "batch.gz").write_bytes(content)
    with pytest.raises(UserError, match="batch"):
        cifar.read_pickle(tmp_path / "batch", b"labels")
    (tmp_path / "some.bin.gz").write_bytes(content)
    if content:
        with pytest.raises(UserError, match=r"some\.bin"):
            cifar.read_binary(tmp_path / "some.bin", 10)
