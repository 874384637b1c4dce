"""Fashion-MNIST from idx files, wherever and however they lie; damaged files give one clear error."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from petlsparse.data import load_data
from petlsparse.data.files.idx import read_idx
from petlsparse.errors import UserError
from tests.data.formats import write_idx

TRAIN, TEST = 6_040, 30


def write_fashion_mnist(folder: Path, suffix: str = "") -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {}
    for half, count in (("train", TRAIN), ("t10k", TEST)):
        arrays[f"{half}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{half}-labels-idx1-ubyte"] = rng.integers(0, 10, count, dtype=np.uint8)
    for name, array in arrays.items():
        write_idx(folder / (name + suffix), array)
    return arrays


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("folder", ["FashionMNIST/raw", "fashion-mnist", "."])
def test_found_in_every_layout_and_split_at_the_official_place(data_root: Path, folder: str, suffix: str) -> None:
    written = write_fashion_mnist(data_root / folder, suffix)
    data = load_data("fashion-mnist")
    images = torch.from_numpy(written["train-images-idx3-ubyte"])[:, None]
    assert torch.equal(data.train.images, images[:40])  # all but the last 6,000
    assert torch.equal(data.val.images, images[40:])
    assert data.val.labels.tolist() == written["train-labels-idx1-ubyte"][40:].tolist()
    test = data.test()
    assert torch.equal(test.images[:, 0], torch.from_numpy(written["t10k-images-idx3-ubyte"]))
    assert (data.classes, data.mean, data.std) == (10, (0.5,), (0.5,))


def test_the_first_root_wins(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fashion_mnist(data_root / "fashion-mnist")
    other = tmp_path / "other"
    write_fashion_mnist(other)
    write_idx(other / "train-labels-idx1-ubyte", np.full(TRAIN, 7, np.uint8))
    monkeypatch.setenv("PETLSPARSE_DATA", f"{other}:{data_root}")
    assert set(load_data("fashion-mnist").train.labels.tolist()) == {7}


def test_a_damaged_test_half_is_told_at_loading(data_root: Path) -> None:
    write_fashion_mnist(data_root)
    (data_root / "t10k-images-idx3-ubyte").write_bytes(b"damaged")
    with pytest.raises(UserError, match="t10k-images-idx3-ubyte"):
        load_data("fashion-mnist")


@pytest.mark.parametrize(("half", "part", "count"), [("train", "train", TRAIN), ("t10k", "test", TEST)])
def test_labels_beyond_the_classes_are_told_at_loading(data_root: Path, half: str, part: str, count: int) -> None:
    write_fashion_mnist(data_root)
    labels = np.zeros(count, np.uint8)
    labels[3] = 10
    write_idx(data_root / f"{half}-labels-idx1-ubyte", labels)
    with pytest.raises(UserError, match=rf"the {part} part: 1 of its .* labels are not in 0..9\n  value: 10"):
        load_data("fashion-mnist")


@pytest.mark.parametrize("shape", [(TEST, 28, 27), (TEST, 14, 14)])
def test_a_test_half_of_another_size_is_told_at_loading(data_root: Path, shape: tuple[int, ...]) -> None:
    write_fashion_mnist(data_root)
    write_idx(data_root / "t10k-images-idx3-ubyte", np.zeros(shape, np.uint8))
    with pytest.raises(UserError, match=r"the test part: .* differ in shape: 1×.* and 1×28×28"):
        load_data("fashion-mnist")


@pytest.mark.parametrize("count", [0, 6_000])
def test_a_training_half_too_small_to_be_divided_is_told(data_root: Path, count: int) -> None:
    write_fashion_mnist(data_root)
    write_idx(data_root / "train-images-idx3-ubyte", np.zeros((count, 28, 28), np.uint8))
    write_idx(data_root / "train-labels-idx1-ubyte", np.zeros(count, np.uint8))
    with pytest.raises(UserError, match="has no images"):
        load_data("fashion-mnist")


def test_missing_data_say_what_where_and_three_ways(data_root: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_data("fashion-mnist")
    message = str(caught.value)
    assert "train-images-idx3-ubyte" in message
    assert str(data_root) in message
    assert all(f"{number}. " in message for number in (1, 2, 3))


def damaged(content: bytes) -> dict[str, bytes]:
    return {
        "cut off": content[:-1],
        "too long": content + b"x",
        "header cut off": content[:9],
        "empty": b"",
        "other magic": b"PK" + content[2:],
        "floats": content[:2] + b"\x0d" + content[3:],
    }


@pytest.mark.parametrize("damage", damaged(b"").keys())
def test_damaged_idx_is_one_clear_error(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "some-idx3-ubyte"
    write_idx(path, np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    path.write_bytes(damaged(path.read_bytes())[damage])
    with pytest.raises(UserError, match="some-idx3-ubyte"):
        read_idx(path)


@pytest.mark.parametrize("damage", ["truncated", "not gzip", "absent"])
def test_damaged_gzip_is_one_clear_error(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "some-idx1-ubyte"
    content = {"truncated": gzip.compress(bytes(1000))[:20], "not gzip": b"hello"}.get(damage)
    if content is not None:
        path.with_name(path.name + ".gz").write_bytes(content)
    with pytest.raises(UserError, match="some-idx1-ubyte"):
        read_idx(path)


def test_images_and_labels_of_different_number_are_refused(data_root: Path) -> None:
    write_fashion_mnist(data_root)
    write_idx(data_root / "train-labels-idx1-ubyte", np.zeros(3, np.uint8))
    with pytest.raises(UserError, match="do not go with"):
        load_data("fashion-mnist")
