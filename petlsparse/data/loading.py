"""``load_data``: from a data set's name to the tensors that a run trains on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from petlsparse.data import DATASETS, FAMILIES
from petlsparse.data.fingerprint import fingerprint
from petlsparse.data.names import family_of
from petlsparse.data.resize import with_channels, with_size
from petlsparse.data.subset import balanced_subset
from petlsparse.data.types import Dataset, FolderSettings, HeldOut, RawDataset, Split
from petlsparse.errors import Problem, UserError
from petlsparse.registry import calling, resolve

TRAIN_ON = ("train", "train+val")


def load_data(
    name: str,
    *,
    train_examples: int | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    train_on: str = "train",
    **folder: Any,
) -> Dataset:
    """Load a data set by name, as uint8 tensors on the CPU.

    ``image_size`` resizes to squares and ``channels`` (1 or 3) converts between grey and colour, both once and for
    all splits. With ``train_on="train+val"`` the training split holds both parts and the validation split is empty.
    ``train_examples`` then keeps a class-balanced subset of the training split, the same one in every run.

    ``folder`` are the fields of ``FolderSettings``; other data sets have no use for them.

    Every part is read and checked now, the test part too, of which nothing but its fingerprint is kept.

    Raises UserError for an unknown name, for data that are not found or not readable, for parts that are empty, differ
    in shape or have labels beyond the classes, for settings that the data set does not have, and for more
    ``train_examples`` than there are.
    """
    if train_on not in TRAIN_ON:
        raise UserError(Problem("must be a part to train on", where="data.train_on", value=train_on, valid=TRAIN_ON))
    source = _source(name, image_size, FolderSettings(**folder))
    check_part(name, "train", source.train, source)
    check_part(name, "val", source.val, source)
    held_out = source.held_out or _checked_test(name, source)

    def prepared(split: Split) -> Split:
        return Split(with_size(with_channels(split.images, channels), image_size), split.labels)

    train, val = source.train, source.val
    if train_on == "train+val":
        train, val = train.join(val), val.take(slice(0))
    if train_examples is not None:
        train = train.take(balanced_subset(train.labels, train_examples))
    train, val = prepared(train), prepared(val)
    width = train.images.shape[1]
    return Dataset(
        name=name,
        classes=source.classes,
        train=train,
        val=val,
        mean=_per_channel(source.mean, width),
        std=_per_channel(source.std, width),
        fingerprint=fingerprint(source.classes, train, val),
        test_fingerprint=held_out.fingerprint,
        test_examples=held_out.examples,
        read_test=lambda: prepared(source.read_test()),
        description=source.description,
    )


def check_part(name: str, part: str, split: Split, source: RawDataset) -> None:
    """Raise UserError unless a part can be used: some images, shaped like those of training, each with a label."""
    where = f"{name}: the {part} part"
    shape, expected = tuple(split.images.shape), source.train.images.shape[1:]
    if len(split) == 0:
        raise UserError(Problem("has no images", where=where))
    if split.images.shape[0] != len(split):
        raise UserError(Problem(f"has {shape[0]} images and {len(split)} labels", where=where))
    if shape[1:] != expected:
        sides = " and ".join("×".join(map(str, each)) for each in (shape[1:], expected))
        raise UserError(Problem(f"its images and those of the training part differ in shape: {sides}", where=where))
    beyond = split.labels[(split.labels < 0) | (split.labels >= source.classes)]
    if len(beyond):
        message = f"{len(beyond)} of its {len(split)} labels are not in 0..{source.classes - 1}"
        raise UserError(Problem(message, where=where, value=str(beyond[0].item())))


def _checked_test(name: str, source: RawDataset) -> HeldOut:
    """What is known of the test part, if it can be used. Its pixels are not kept: they are for the end of a run."""
    test = source.read_test()
    check_part(name, "test", test, source)
    return HeldOut(len(test), fingerprint(source.classes, test))


def _source(name: str, image_size: int | None, settings: FolderSettings) -> RawDataset:
    family = family_of(name)
    _check_settings(settings, FAMILIES[family[0]].settings if family else ())
    if family:
        prefix, reference = family
        found: RawDataset = resolve({prefix: FAMILIES[prefix].reader}, prefix, "data set")(
            reference, image_size, settings
        )
        return found
    read = resolve({each: known.reader for each, known in DATASETS.items()}, name, "data set")
    with calling(name, "data.name"):
        loaded = read()
    if not isinstance(loaded, RawDataset):
        raise UserError(Problem(f'"{name}" returns a {type(loaded).__name__}, not a RawDataset', "data.name"))
    known = DATASETS.get(name)
    shape = *loaded.train.images.shape[1:], loaded.classes
    if known is not None and shape != (*known.shape, known.classes):
        raise UserError(
            Problem(f"has images and classes {shape}, but DATASETS says {(*known.shape, known.classes)}", where=name)
        )
    return loaded


def _check_settings(settings: FolderSettings, valid: tuple[str, ...]) -> None:
    """Raise UserError for settings that a data set has no use for."""
    problems = [
        Problem("is for other data sets, such as folders of images", where=f"data.{key}", value=str(value))
        for key, value in asdict(settings).items()
        if key not in valid and value != getattr(FolderSettings, key)
    ]
    if problems:
        raise UserError(*problems)


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """Constants of a grey image repeated for colour; those of a colour image averaged for grey."""
    if len(values) == channels:
        return values
    return (sum(values) / len(values),) * channels
