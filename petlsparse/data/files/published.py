"""The published data sets that are known by their files: which files, in which folders, and how to come by them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from petlsparse.data.files.packed import exists
from petlsparse.data.files.roots import missing, roots


@dataclass(frozen=True)
class Layout:
    """One of the forms in which a data set is found on disks."""

    folders: tuple[str, ...]
    """Relative to a root; the root may also be the folder itself."""
    files: tuple[str, ...]
    """All of these, each as it is or with ``.gz`` added."""

    def __str__(self) -> str:
        return f"{{{', '.join(self.files)}}} in {' or '.join(self.folders)}"

    def find(self) -> Path | None:
        """The first folder that holds every file."""
        candidates = (root / folder for root in roots() for folder in (*self.folders, "."))
        return next((folder for folder in candidates if all(exists(folder / file) for file in self.files)), None)


@dataclass(frozen=True)
class PublishedDataset:
    """A data set that its user has to supply."""

    name: str
    layouts: tuple[Layout, ...]
    supply: tuple[str, str, str]
    """Three ways to make the data available."""

    def find(self) -> Path | None:
        """The folder that holds the data set, in the first layout that is there."""
        return next((folder for layout in self.layouts if (folder := layout.find())), None)

    def locate(self) -> Path:
        """Like ``find``, but data that are missing raise a UserError."""
        folder = self.find()
        if folder is None:
            raise missing(self.name, map(str, self.layouts), self.supply)
        return folder


FASHION_MNIST = PublishedDataset(
    "fashion-mnist",
    layouts=(
        Layout(
            folders=("FashionMNIST/raw", "fashion-mnist"),
            files=(
                "train-images-idx3-ubyte",
                "train-labels-idx1-ubyte",
                "t10k-images-idx3-ubyte",
                "t10k-labels-idx1-ubyte",
            ),
        ),
    ),
    supply=(
        "install your distribution's package, such as Debian's dataset-fashion-mnist",
        "add to PETLSPARSE_DATA the root given to torchvision.datasets.FashionMNIST, or the folder of the idx files",
        "use fashion-mnist-10k, the balanced part of it that comes with petlsparse",
    ),
)

_CIFAR10_PARTS = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")

CIFAR10 = PublishedDataset(
    "cifar10",
    layouts=(
        Layout(("cifar-10-batches-py",), _CIFAR10_PARTS),
        Layout(("cifar-10-batches-bin",), tuple(f"{part}.bin" for part in _CIFAR10_PARTS)),
    ),
    supply=(
        "unpack cifar-10-python.tar.gz or cifar-10-binary.tar.gz into ./data",
        "add to PETLSPARSE_DATA the root given to torchvision.datasets.CIFAR10, or the folder of the batches",
        "use fashion-mnist-10k, which comes with petlsparse",
    ),
)

CIFAR100 = PublishedDataset(
    "cifar100",
    layouts=(
        Layout(("cifar-100-python",), ("train", "test")),
        Layout(("cifar-100-binary",), ("train.bin", "test.bin")),
    ),
    supply=(
        "unpack cifar-100-python.tar.gz or cifar-100-binary.tar.gz into ./data",
        "add to PETLSPARSE_DATA the root given to torchvision.datasets.CIFAR100, or the folder of the files",
        "use fashion-mnist-10k, which comes with petlsparse",
    ),
)
