"""Arrays in files: parts, layouts and labels as they are written; what can be read in two ways is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from petlsparse.data import load_data
from petlsparse.data.shapes import shape_of
from petlsparse.errors import UserError

RNG = np.random.default_rng(0)
TRAIN, VAL, TEST = (RNG.integers(0, 256, (count, 6, 8, 3), dtype=np.uint8) for count in (20, 4, 5))
PARTS = {
    "x_train": TRAIN, "y_train": np.arange(20) % 3,
    "x_val": VAL, "y_val": np.arange(4) % 3,
    "x_test": TEST, "y_test": np.arange(5) % 3,
}  # fmt: skip


def write(path: Path, arrays: dict[str, Any]) -> None:
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("first", [True, False], ids=["channels first", "channels last"])
def test_parts_are_the_arrays(data_root: Path, suffix: str, first: bool) -> None:
    arrays = {name: each.transpose(0, 3, 1, 2) if first and each.ndim == 4 else each for name, each in PARTS.items()}
    write(data_root / f"own{suffix}", arrays)
    data = load_data(f"arrays:own{suffix}")
    assert (data.classes, data.train.images.shape) == (3, (20, 3, 6, 8))
    for split, images in ((data.train, TRAIN), (data.val, VAL), (data.test(), TEST)):
        assert np.array_equal(split.images.numpy(), images.transpose(0, 3, 1, 2))
        assert split.labels.tolist() == [n % 3 for n in range(len(images))]
    assert shape_of(f"arrays:own{suffix}") == (3, 6, 8, 3)


def test_equal_pixels_have_equal_fingerprints_however_they_are_laid_out(data_root: Path) -> None:
    write(data_root / "last.npz", PARTS)
    write(
        data_root / "first.safetensors",
        {name: each.transpose(0, 3, 1, 2) if each.ndim == 4 else each for name, each in PARTS.items()},
    )
    last, first = load_data("arrays:last.npz"), load_data("arrays:first.safetensors")
    assert (last.fingerprint, last.test_fingerprint) == (first.fingerprint, first.test_fingerprint)


def test_grey_images_and_columns_of_labels_are_read_and_missing_parts_cut_by_class(data_root: Path) -> None:
    images = np.arange(100, dtype=np.uint8)[:, None, None] + np.zeros((1, 4, 4), np.uint8)
    write(data_root / "grey.npz", {"x_train": images, "y_train": (np.arange(100) % 2)[:, None]})
    data = load_data("arrays:grey.npz", val_fraction=0.25, test_fraction=0.2)
    parts = [data.train, data.val, data.test()]
    assert [len(part) for part in parts] == [60, 20, 20]
    assert torch.bincount(parts[2].labels).tolist() == [10, 10]
    assert sorted(torch.cat([part.images[:, 0, 0, 0] for part in parts]).tolist()) == list(range(100))
    assert data.description is not None
    assert data.description.made["test"] == "20 % of the images of x_train, class by class (data.test_fraction)"


BAD: list[tuple[dict[str, Any], str]] = [
    ({"X_train": TRAIN, "y_train": PARTS["y_train"]}, 'unknown array "X_train"\n  did you mean x_train?'),
    ({"x_train": TRAIN}, "has no array y_train"),
    ({"x_train": TRAIN, "y_train": PARTS["y_train"], "x_val": VAL}, "has no array y_val"),
    ({"x_train": TRAIN / 255, "y_train": PARTS["y_train"]}, "pixels should be uint8, 0 to 255, not float64"),
    ({"x_train": TRAIN[:, :3], "y_train": PARTS["y_train"]}, "either end of the images' shape"),
    ({"x_train": TRAIN[..., :2], "y_train": PARTS["y_train"]}, "neither end of the images' shape"),
    ({"x_train": TRAIN[:, 0, 0], "y_train": PARTS["y_train"]}, r"images should be \(N, H, W\)"),
    ({"x_train": TRAIN, "y_train": np.eye(20)}, "labels should be whole numbers"),
    ({"x_train": TRAIN, "y_train": PARTS["y_train"] - 1}, "labels should be numbers from 0"),
    ({"x_train": TRAIN, "y_train": PARTS["y_train"], "x_test": TEST, "y_test": np.zeros(4, int)}, "5 images and 4 lab"),
    ({"x_train": TRAIN, "y_train": PARTS["y_train"][:9]}, "20 images and 9 labels"),
]


@pytest.mark.parametrize(("arrays", "message"), BAD, ids=[message[:30] for _, message in BAD])
def test_other_arrays_are_refused(data_root: Path, arrays: dict[str, Any], message: str) -> None:
    write(data_root / "bad.npz", arrays)
    with pytest.raises(UserError, match=message):
        load_data("arrays:bad.npz")


def test_files_that_are_none_are_refused(data_root: Path) -> None:
    (data_root / "bad.npz").write_bytes(b"PK\3\4 cut")
    np.savez(data_root / "pickled.npz", x_train=TRAIN, y_train=np.array(["a"] * 20, dtype=object))
    (data_root / "bad.safetensors").write_bytes(b"\0" * 20)
    (data_root / "bad.h5").touch()
    for name, message in (
        ("bad.npz", "cannot be read"),
        ("pickled.npz", "cannot be read"),
        ("bad.safetensors", "cannot be read"),
        ("bad.h5", "should be a file of arrays"),
        ("nowhere.npz", "PETLSPARSE_DATA"),
    ):
        with pytest.raises(UserError, match=message):
            load_data(f"arrays:{name}")
