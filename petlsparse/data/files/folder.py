"""Any tree of images with one folder per class, as torchvision's ImageFolder reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from petlsparse.data.description import DatasetDescription
from petlsparse.data.files.decode import DecodeSettings, FileStatistics, decoded
from petlsparse.data.files.shown import shown
from petlsparse.data.files.tree import Part, Tree, locate, scan
from petlsparse.data.fingerprint import fingerprint
from petlsparse.data.shapes import FOLDER_SIZE
from petlsparse.data.subset import stratified_split
from petlsparse.data.types import FolderSettings, HeldOut, RawDataset, Split
from petlsparse.errors import Problem, UserError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PARTS = ("train", "val", "test")


def image_folder(reference: str, image_size: int | None, settings: FolderSettings) -> RawDataset:
    """The images below a folder, given by its path or by its name under a data root.

    The folder holds ``train`` and, where its user made them, ``val`` and ``test`` with class folders in each, or
    class folders directly. Parts that are missing are cut out by class, always in the same way: the test part is
    ``test_fraction`` of everything, the validation part ``val_fraction`` of what is left. A tree with only ``train``
    and ``val`` has no other images to report on: there ``val`` is the test part.

    Raises UserError for a tree that has no clear meaning, for images that cannot be read, all at once, and for a
    fraction of a part that the tree has.
    """
    tree = scan(locate(reference))
    parts, made = _divided(tree, settings)
    decoding = DecodeSettings(image_size or FOLDER_SIZE, settings.image_fit, settings.background)
    stats: dict[str, FileStatistics] = {}
    splits: dict[str, Split] = {}
    problems: list[Problem] = []
    for name in PARTS:
        try:
            images, stats[name] = decoded(parts[name].files, decoding)
            splits[name] = Split(images, torch.tensor(parts[name].labels))
        except UserError as error:
            problems += (replace(problem, where=f"the {name} part") for problem in error.problems)
    if problems:
        raise UserError(*problems)
    classes, test = len(tree.classes), parts["test"]
    held_out = HeldOut(len(test.files), fingerprint(classes, splits.pop("test")))
    return RawDataset(
        classes,
        splits["train"],
        splits["val"],
        lambda: Split(decoded(test.files, decoding)[0], torch.tensor(test.labels)),
        IMAGENET_MEAN,
        IMAGENET_STD,
        held_out,
        _description(tree, parts, made, stats),
    )


def _divided(tree: Tree, settings: FolderSettings) -> tuple[dict[str, Part], dict[str, str]]:
    """The three parts, and in words where each comes from."""
    parts = dict(tree.parts)
    made = {part: f"{shown(folder.name)}/" for part, folder in tree.folders.items() if part != "all"}
    if "val" in parts and "test" not in parts:
        parts["test"], made["test"] = parts.pop("val"), f"{made.pop('val')}, as there is no other part to report on"
    if "all" in parts:
        parts["train"], made["train"] = parts.pop("all"), "the rest"
    for part, of, fraction in (
        ("test", "all images", settings.test_fraction),
        ("val", "the images left", settings.val_fraction),
    ):
        if part not in parts:
            parts["train"], parts[part] = _separate(parts["train"], fraction, f"folder/{part}")
            if "train" in tree.parts:
                of = f"the images of {shown(tree.folders['train'].name)}/"
            made[part] = f"{100 * fraction:g} % of {of}, class by class (data.{part}_fraction)"
        elif fraction != getattr(FolderSettings, f"{part}_fraction"):
            message = f"the folder has a {part} part of its own, {made[part]}"
            raise UserError(Problem(message, where=f"data.{part}_fraction", value=str(fraction)))
    return {part: parts[part] for part in PARTS}, {part: made[part] for part in PARTS}


def _separate(part: Part, fraction: float, purpose: str) -> tuple[Part, Part]:
    """What is kept of a part, and a fraction of it, one image at least, held out in proportion to its classes."""
    labels = torch.tensor(part.labels)
    exact = Fraction(str(fraction)) * len(labels)
    kept, held = stratified_split(labels, max(1, round(exact)), purpose)
    return _choose(part, kept), _choose(part, held)


def _choose(part: Part, indices: Tensor) -> Part:
    chosen = indices.tolist()
    return Part(tuple(part.files[i] for i in chosen), tuple(part.labels[i] for i in chosen))


def _description(
    tree: Tree, parts: Mapping[str, Part], made: Mapping[str, str], stats: Mapping[str, FileStatistics]
) -> DatasetDescription:
    def total(counters: Iterable[Counter[str]]) -> dict[str, int]:
        return dict(sum(counters, Counter[str]()).most_common())

    places = Counter((part, label) for part, each in parts.items() for label in each.labels)
    names = tuple(map(shown, tree.classes))
    images = [
        (content, file, part, names[label])
        for part, each in parts.items()
        for content, file, label in zip(stats[part].contents, each.files, each.labels, strict=True)
    ]
    in_parts = _in_several(tree, ((content, file, part) for content, file, part, _ in images))
    return DatasetDescription(
        made=made,
        counts={part: tuple(places[part, label] for label in range(len(tree.classes))) for part in parts},
        class_names=names,
        sizes=total(each.sizes for each in stats.values()),
        modes=total(each.modes for each in stats.values()),
        done=total(each.done for each in stats.values()),
        skipped=_reasons(tree),
        constant=tuple(
            shown(parts[part].files[index].relative_to(tree.path)) for part in parts for index in stats[part].constant
        ),
        in_several_parts=dict(sorted(in_parts.items(), key=lambda found: "test" not in found[1])),
        in_several_classes=_in_several(tree, ((content, file, name) for content, file, _, name in images)),
    )


def _in_several(tree: Tree, images: Iterable[tuple[str, Path, str]]) -> dict[str, tuple[str, ...]]:
    """Of images given by content, file and place: the first file of every content found in several places -> those."""
    first: dict[str, Path] = {}
    places: dict[str, dict[str, None]] = {}
    for content, file, place in images:
        first.setdefault(content, file)
        places.setdefault(content, {})[place] = None
    several = ((first[content], found) for content, found in places.items() if len(found) > 1)
    return {shown(file.relative_to(tree.path)): tuple(found) for file, found in several}


def _reasons(tree: Tree) -> dict[str, tuple[str, ...]]:
    reasons: dict[str, tuple[str, ...]] = {}
    for path, why in tree.skipped:
        reasons[why] = (*reasons.get(why, ()), shown(path.relative_to(tree.path)))
    return reasons
