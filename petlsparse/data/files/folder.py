"""Any tree of images with one folder per class, as torchvision's ImageFolder reads it."""

from __future__ import annotations

import torch
from torch import Tensor

from petlsparse.data.files.decode import decoded
from petlsparse.data.files.tree import Part, locate, scan
from petlsparse.data.subset import stratified_split
from petlsparse.data.types import Source, Split

DEFAULT_SIZE = 224
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def image_folder(reference: str, image_size: int | None = None) -> Source:
    """The images below a folder, given by its path or by its name under a data root.

    The folder holds ``train`` and, where its user made them, ``val`` and ``test`` with class folders in each, or
    class folders directly. Parts that are missing are cut out by class, always in the same way: the validation part
    is a tenth of what is left after the test part, the test part a fifth of everything. A tree with only ``train``
    and ``val`` has no other images to report on: there ``val`` is the test part.
    """
    tree = scan(locate(reference))
    size = image_size or DEFAULT_SIZE
    parts = dict(tree.parts)
    if "val" in parts and "test" not in parts:
        parts["test"] = parts.pop("val")
    train = parts["all"] if "all" in parts else parts["train"]
    if "test" not in parts:
        train, parts["test"] = _separate(train, 5, "folder/test")
    if "val" not in parts:
        train, parts["val"] = _separate(train, 10, "folder/val")

    def read(part: Part) -> Split:
        return Split(decoded(part.files, size), torch.tensor(part.labels))

    val, test = parts["val"], parts["test"]
    both = read(Part(train.files + val.files, train.labels + val.labels))  # broken images of both are told at once
    first, rest = both.take(slice(len(train.files))), both.take(slice(len(train.files), None))
    return Source(len(tree.classes), first, rest, lambda: read(test), IMAGENET_MEAN, IMAGENET_STD)


def _separate(part: Part, divisor: int, purpose: str) -> tuple[Part, Part]:
    """What is kept of a part, and one ``divisor``-th of it held out in proportion to its classes."""
    labels = torch.tensor(part.labels)
    kept, held = stratified_split(labels, max(1, round(len(labels) / divisor)), purpose)
    return _choose(part, kept), _choose(part, held)


def _choose(part: Part, indices: Tensor) -> Part:
    chosen = indices.tolist()
    return Part(tuple(part.files[i] for i in chosen), tuple(part.labels[i] for i in chosen))
