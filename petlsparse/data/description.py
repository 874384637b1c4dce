"""What a data set consists of, told to people: where its parts come from, what its files are, what is odd about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch

from petlsparse.data.types import Dataset, Split

DOUBTFUL_ERROR = 5.0
"""A standard error of the validation accuracy, in percentage points, from which on it is a poor choice to choose by."""


@dataclass(frozen=True)
class DatasetDescription:
    """What was found out when a data set was read. Counts are of files, by what they have in common."""

    made: Mapping[str, str] = field(default_factory=dict)
    """Part -> where it comes from, in words."""
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Part -> examples of each class."""
    class_names: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Width×height as stored."""
    modes: Mapping[str, int] = field(default_factory=dict)
    """Pillow's names."""
    done: Mapping[str, int] = field(default_factory=dict)
    """What was done to pixels on the way to 8-bit RGB."""
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Why -> files and folders that are not used."""
    constant: tuple[str, ...] = ()
    """Images whose pixels are all equal."""
    in_several_parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Image -> the parts that it stands in byte for byte, linked or copied, where there are two or more. Those that the
    test part has come first."""
    in_several_classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Image -> the classes that it stands in so."""

    def remarks(self) -> Iterator[str]:
        """What somebody who trains on these data should know, one sentence each."""
        yield from self.oddities()
        for what, number in self.done.items():
            yield f"{number} images: {what}"
        for why, paths in self.skipped.items():
            if why != "hidden":
                yield f"{len(paths)} skipped, {why}: {few(paths)}"

    def oddities(self) -> Iterator[str]:
        """What may be wrong with the data, one sentence each."""
        yield from _repeated(self.in_several_parts, "parts")
        yield from _repeated(self.in_several_classes, "classes")
        yield from _lacking(self.counts, self.class_names)
        if self.constant:
            yield f"{len(self.constant)} constant images, all of one colour: {few(self.constant)}"


def describe_dataset(data: Dataset) -> DatasetDescription:
    """What is known of a data set; of one that is the same for everybody its pixels tell. Reads the test part."""
    if data.description is not None:
        return data.description
    parts = {"train": data.train, "val": data.val, "test": data.test()}
    channels, height, width = data.train.images.shape[1:]
    constant = [
        f"{name} {index}"
        for name, part in parts.items()
        for index in (part.images.flatten(1) == part.images.flatten(1)[:, :1]).all(1).nonzero()[:, 0].tolist()
    ]
    examples = sum(map(len, parts.values()))
    return DatasetDescription(
        made=dict.fromkeys(parts, "as the data set has it, the same for everybody"),
        counts={name: examples_per_class(part, data.classes) for name, part in parts.items()},
        class_names=tuple(map(str, range(data.classes))),
        sizes={f"{width}×{height}": examples},
        modes={"L" if channels == 1 else "RGB": examples},
        constant=tuple(constant),
    )


def summary(data: Dataset) -> str:
    """One line: how many images each part has, and how many classes there are."""
    counts = f"{len(data.train):,} training, {len(data.val):,} validation and {data.test_examples:,} test images"
    return f"{data.name}: {counts}, {data.classes} classes"


def remarks(data: Dataset) -> list[str]:
    """What somebody who trains on these data should know, a sentence each."""
    found = list(data.description.remarks()) if data.description is not None else []
    doubt = validation_remark(len(data.val))
    return [f"{data.name}: {text}" for text in (*found, *([doubt] if doubt else []))]


def few(names: tuple[str, ...], most: int = 3) -> str:
    """The first of many names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def examples_per_class(split: Split, classes: int) -> tuple[int, ...]:
    """Examples of each class."""
    return tuple(torch.bincount(split.labels, minlength=classes).tolist())


def validation_error(examples: int) -> float:
    """Largest standard error of an accuracy measured on so many examples, that of 50 %, in percentage points."""
    return float(50 / examples**0.5)


def validation_remark(examples: int) -> str | None:
    """A warning where a validation part is too small to choose by; None where it is not, or where there is none."""
    if not examples or validation_error(examples) <= DOUBTFUL_ERROR:
        return None
    error = validation_error(examples)
    return (
        f"{examples} validation images are few to choose by: the standard error of their accuracy is up to "
        f"{error:.1f} points"
    )


def _repeated(images: Mapping[str, tuple[str, ...]], places: str) -> Iterator[str]:
    if images:
        who = f"{len(images)} images stand" if len(images) > 1 else "1 image stands"
        said = tuple(f"{name} ({few(found)})" for name, found in images.items())
        yield f"{who} in two {places} or more, byte for byte: {few(said)}"


def _lacking(counts: Mapping[str, tuple[int, ...]], names: tuple[str, ...]) -> Iterator[str]:
    for part, numbers in counts.items():
        lacking = tuple(names[label] for label, number in enumerate(numbers) if number == 0)
        if lacking:
            yield f"the {part} part has no image of {len(lacking)} of {len(numbers)} classes: {few(lacking)}"
