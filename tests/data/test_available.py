"""The inventory says what ``load_data`` would give, and finds what is on disk."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from petlsparse.data import DATASETS, inventory, load_data
from petlsparse.data.files.bundled import BUNDLED
from petlsparse.data.files.published import FASHION_MNIST
from petlsparse.data.generated import pretraining
from scripts.make_bundled_data import MAKERS
from tests.data.formats import write_png
from tests.data.test_idx import write_fashion_mnist


def test_every_data_set_has_its_row() -> None:
    assert {row.name for row in inventory() if ":" not in row.name} == set(DATASETS)


@pytest.mark.parametrize("name", [row.name for row in inventory() if row.source != "disk"])
def test_rows_agree_with_the_data(name: str) -> None:
    row = next(row for row in inventory() if row.name == name)
    if name == "pretraining-mix":  # too large to draw here, and in need of garments from disk
        assert row.examples == tuple(sum(counts) for counts in pretraining.EXAMPLES.values())
        assert row.classes == sum(classes for _, classes in pretraining.KINDS)
        return
    assert row.found
    data = load_data(name)
    assert row.examples == (len(data.train), len(data.val), len(data.test()))
    assert row.classes == data.classes == len(data.train.labels.unique())
    assert row.shape == tuple(data.train.images.shape[1:])


def test_what_is_on_disk_is_found_and_what_is_not_can_be_supplied(data_root: Path) -> None:
    write_fashion_mnist(data_root / "FashionMNIST/raw")
    for name in ("cat", "dog"):
        write_png(data_root / "pets/train" / name / "0.png", np.zeros((4, 4, 3), np.uint8))
    rows = {row.name: row for row in inventory()}
    assert rows["fashion-mnist"].path == data_root / "FashionMNIST/raw"
    assert not rows["cifar10"].found
    assert len(rows["cifar10"].how_to_supply) == 3
    assert (rows["folder:pets"].classes, rows["folder:pets"].path) == (2, data_root / "pets")
    assert "folder:FashionMNIST" not in rows


def test_listing_loads_neither_torch_nor_pillow() -> None:
    script = (
        "import sys; from petlsparse.data import inventory; inventory();"
        "print([m for m in ('torch', 'PIL', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["fashion-mnist-10k", "digits"])
def test_bundled_arrays_are_those_of_their_description(name: str) -> None:
    digest = hashlib.sha256()
    with np.load(BUNDLED / f"{name}.npz") as arrays:
        for part in sorted(arrays):
            digest.update(arrays[part].tobytes())
    assert digest.hexdigest() in (BUNDLED / f"{name}.md").read_text()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            "fashion-mnist-10k",
            marks=pytest.mark.skipif(FASHION_MNIST.find() is None, reason="needs the full Fashion-MNIST on disk"),
        ),
        "digits",
    ],
)
def test_script_makes_the_bundled_arrays(name: str) -> None:
    made = MAKERS[name]()
    with np.load(BUNDLED / f"{name}.npz") as arrays:
        assert sorted(arrays) == sorted(made)
        for part in made:
            np.testing.assert_array_equal(made[part], arrays[part])
