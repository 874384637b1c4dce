"""A data set of image files, wherever they lie: decoded once, and told what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from petlsparse.data.description import DatasetDescription
from petlsparse.data.files.decode import DecodeSettings, FileStatistics, decoded
from petlsparse.data.files.shown import shown
from petlsparse.data.files.tree import FOLDER_SIZE, Encoded, Part
from petlsparse.data.fingerprint import fingerprint
from petlsparse.data.types import FolderSettings, HeldOut, RawDataset, Split
from petlsparse.errors import Problem, UserError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class EncodedDataset:
    """Image files by part, and what is to be told of them."""

    root: Path
    """What the names of files are told from."""
    classes: tuple[str, ...]
    parts: Mapping[str, Part]
    """Of "train", "val" and "test"."""
    made: Mapping[str, str]
    """Part -> where it comes from, in words."""
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Why -> files and folders that are not used."""


def decoded_dataset(found: EncodedDataset, image_size: int | None, settings: FolderSettings) -> RawDataset:
    """The images as squares of RGB, with the constants of ImageNet.

    Raises one UserError for all images that cannot be read.
    """
    decoding = DecodeSettings(image_size or FOLDER_SIZE, settings.image_fit, settings.background)
    stats: dict[str, FileStatistics] = {}
    splits: dict[str, Split] = {}
    problems: list[Problem] = []
    for name, part in found.parts.items():
        try:
            images, stats[name] = decoded(part.files, decoding)
            splits[name] = Split(images, torch.tensor(part.labels))
        except UserError as error:
            problems += (replace(problem, where=f"the {name} part") for problem in error.problems)
    if problems:
        raise UserError(*problems)
    classes, test = len(found.classes), found.parts["test"]
    held_out = HeldOut(len(test.files), fingerprint(classes, splits.pop("test")))
    return RawDataset(
        classes,
        splits["train"],
        splits["val"],
        lambda: Split(decoded(test.files, decoding)[0], torch.tensor(test.labels)),
        IMAGENET_MEAN,
        IMAGENET_STD,
        held_out,
        _description(found, stats),
    )


def _description(found: EncodedDataset, stats: Mapping[str, FileStatistics]) -> DatasetDescription:
    def total(counters: Iterable[Counter[str]]) -> dict[str, int]:
        return dict(sum(counters, Counter[str]()).most_common())

    def images() -> Iterator[tuple[str, Encoded, str, str]]:
        for part, each in parts.items():
            for content, file, label in zip(stats[part].contents, each.files, each.labels, strict=True):
                yield content, file, part, names[label]

    parts = found.parts
    places = Counter((part, label) for part, each in parts.items() for label in each.labels)
    names = tuple(map(shown, found.classes))
    in_parts = _in_several(found, ((content, file, part) for content, file, part, _ in images()))
    return DatasetDescription(
        made=found.made,
        counts={part: tuple(places[part, label] for label in range(len(names))) for part in parts},
        class_names=names,
        sizes=total(each.sizes for each in stats.values()),
        modes=total(each.modes for each in stats.values()),
        done=total(each.done for each in stats.values()),
        skipped=found.skipped,
        constant=tuple(_name(found, parts[part].files[index]) for part in parts for index in stats[part].constant),
        in_several_parts=dict(sorted(in_parts.items(), key=lambda found: "test" not in found[1])),
        in_several_classes=_in_several(found, ((content, file, name) for content, file, _, name in images())),
    )


def _in_several(found: EncodedDataset, images: Iterable[tuple[str, Encoded, str]]) -> dict[str, tuple[str, ...]]:
    """Of images given by content, file and place: the first file of every content found in several places -> those."""
    first: dict[str, tuple[Encoded, str]] = {}
    several: dict[str, dict[str, None]] = {}  # most are in one place, and there may be millions
    for content, file, place in images:
        _, known = first.setdefault(content, (file, place))
        if place != known:
            several.setdefault(content, {known: None})[place] = None
    return {_name(found, file): tuple(several[content]) for content, (file, _) in first.items() if content in several}


def _name(found: EncodedDataset, file: Encoded) -> str:
    return shown(str(file).removeprefix(f"{found.root}/"))
