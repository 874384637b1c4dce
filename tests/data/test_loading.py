"""``load_data``: balanced subsets, fitted parts, sizes and channels, fingerprints, and what it refuses."""

import dataclasses
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from petlsparse.data import DATASETS, inventory, load_data
from petlsparse.data.files.bundled import read_npz_part
from petlsparse.data.loading import fingerprint
from petlsparse.data.resize import with_channels, with_size
from petlsparse.data.subset import balanced_subset, stratified_split
from petlsparse.data.types import RawDataset, Split
from petlsparse.errors import UserError

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60)


@given(LABELS, st.data())
def test_subset_is_as_balanced_as_the_classes_allow(labels: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(labels)))
    chosen = balanced_subset(torch.tensor(labels), count).tolist()
    assert chosen == sorted(set(chosen))
    assert len(chosen) == count
    sizes = np.bincount(labels, minlength=5)
    taken = np.bincount(np.array(labels)[chosen], minlength=5)
    # A class may stay behind the largest share by more than one only when it is used up.
    assert all(taken[c] >= taken.max() - 1 or taken[c] == sizes[c] for c in range(5))


def test_a_data_set_that_is_not_what_its_line_says_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "digits", DATASETS["digits"]._replace(classes=9))
    with pytest.raises(UserError, match=r"digits: has images and classes \(1, 8, 8, 10\), but DATASETS says"):
        load_data("digits")


def test_subsets_are_nested_and_always_the_same() -> None:
    labels = torch.arange(500) % 7
    small, large = balanced_subset(labels, 20).tolist(), balanced_subset(labels, 90).tolist()
    assert set(small) < set(large)
    assert balanced_subset(labels, 20).tolist() == small
    assert small != list(range(20))


@given(LABELS, st.data())
def test_stratified_split_is_a_partition_in_proportion(labels: list[int], data: st.DataObject) -> None:
    held_out = data.draw(st.integers(0, len(labels)))
    kept, held = stratified_split(torch.tensor(labels), held_out, "test")
    assert sorted(kept.tolist() + held.tolist()) == list(range(len(labels)))
    assert len(held) == held_out
    sizes, out = np.bincount(labels, minlength=5), np.bincount(np.array(labels)[held.numpy()], minlength=5)
    # One share, times the size of each class, rounded: nobody gives an example before one who has given less.
    for own, size in zip(out, sizes, strict=True):
        for other, its_size in zip(out, sizes, strict=True):
            if own > 0 and other < its_size:
                assert (2 * own - 1) * its_size <= (2 * other + 1) * size


@pytest.mark.parametrize("bundled", ["fashion-mnist-10k", "digits"])
def test_bundled_parts_are_disjoint_and_balanced(bundled: str) -> None:
    data = load_data(bundled)
    parts = (data.train, data.val, data.test())
    expected = [7_000, 1_000, 2_000] if bundled == "fashion-mnist-10k" else [800, 200, 797]
    assert [len(part) for part in parts] == expected
    for part in parts:
        counts = torch.bincount(part.labels, minlength=10)
        assert counts.max() - counts.min() <= (0 if bundled == "fashion-mnist-10k" else 4)
    images = [image.numpy().tobytes() for part in parts for image in part.images]
    assert len(set(images)) == len(images)


def test_digits_use_the_whole_range_of_a_byte() -> None:
    from sklearn.datasets import load_digits

    data = load_data("digits")
    pixels = torch.cat([data.train.images, data.val.images, data.test().images])
    assert set(pixels.unique().tolist()) == {round(level * 255 / 16) for level in range(17)}
    assert pixels.long().sum() == np.rint(load_digits().data * 255 / 16).sum()


def test_train_examples_of_both_parts() -> None:
    both = load_data("digits", train_on="train+val")
    assert (len(both.train), len(both.val)) == (1_000, 0)
    some = load_data("digits", train_on="train+val", train_examples=50)
    assert torch.bincount(some.train.labels).tolist() == [5] * 10
    assert len(some.val) == 0
    assert len(load_data("digits", train_examples=50).val) == 200


def test_constants_follow_the_channels() -> None:
    data = load_data("digits", channels=3, image_size=16)
    assert data.train.images.shape == (800, 3, 16, 16)
    assert data.test().images.shape == (797, 3, 16, 16)
    assert data.mean == (0.5,) * 3
    assert load_data("shapes-count", channels=1).std == (0.5,)


def test_resizing_by_whole_factors_averages_and_repeats_nothing_else() -> None:
    image = torch.tensor([[0, 255], [255, 0]], dtype=torch.uint8).repeat_interleave(4, 0).repeat_interleave(4, 1)
    small = with_size(image[None, None], 4)
    assert small.tolist() == [[[[0, 32, 223, 255], [32, 56, 199, 223], [223, 199, 56, 32], [255, 223, 32, 0]]]]
    constant = torch.full((3, 2, 28, 28), 201, dtype=torch.uint8)
    for size in (7, 32, 45):
        assert torch.equal(with_size(constant, size), constant[:, :, :1, :1].expand(-1, -1, size, size))
    assert with_size(constant, 28) is constant


def test_channels_by_hand() -> None:
    colour = torch.tensor([100, 200, 50], dtype=torch.uint8).view(1, 3, 1, 1)
    assert with_channels(colour, 1).item() == 153  # 29.9 + 117.4 + 5.7
    assert with_channels(colour[:, :1], 3).flatten().tolist() == [100, 100, 100]
    with pytest.raises(UserError, match="channels"):
        with_channels(colour, 4)


def test_fingerprint_depends_on_every_pixel_label_and_shape() -> None:
    images = torch.arange(2 * 3 * 4, dtype=torch.uint8).view(2, 1, 3, 4)
    split = Split(images, torch.tensor([0, 1]))
    other_pixel = images.clone()
    other_pixel[1, 0, 2, 3] += 1
    variants = [
        fingerprint(2, split),
        fingerprint(3, split),
        fingerprint(2, split, split),
        fingerprint(2, dataclasses.replace(split, labels=torch.tensor([1, 0]))),
        fingerprint(2, dataclasses.replace(split, images=images.view(2, 1, 4, 3))),
        fingerprint(2, dataclasses.replace(split, images=other_pixel)),
    ]
    assert len(set(variants)) == len(variants)
    assert fingerprint(2, split.take(torch.tensor([0, 1]))) == variants[0]
    assert all(len(text) == 12 for text in variants)


@pytest.mark.parametrize("name", [*(row.name for row in inventory() if row.source != "disk" and row.found)])
def test_the_test_part_has_a_fingerprint_of_its_own_content(name: str) -> None:
    if name == "pretraining-mix":
        pytest.skip("too large to draw here")
    data = load_data(name)
    assert data.test_fingerprint == fingerprint(data.classes, data.test())
    assert data.test_fingerprint != data.fingerprint
    assert load_data(name, image_size=8, channels=3).test_fingerprint == data.test_fingerprint


def part(count: int = 4, *, label: int = 1, side: int = 8) -> Split:
    return Split(torch.zeros(count, 1, side, side, dtype=torch.uint8), torch.full((count,), label))


@pytest.mark.parametrize("name", ["train", "val", "test"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (part(0), "has no images"),
        (part(label=3), "4 of its 4 labels are not in 0..2"),
        (part(label=-1), "4 of its 4 labels are not in 0..2"),
        (dataclasses.replace(part(), labels=torch.zeros(5, dtype=torch.int64)), "has 4 images and 5 labels"),
        (part(side=9), "differ in shape"),
    ],
)
def test_every_part_is_checked_before_anything_is_trained(
    monkeypatch: pytest.MonkeyPatch, name: str, bad: Split, message: str
) -> None:
    parts = {"train": part(), "val": part(), "test": part()} | {name: bad}
    source = RawDataset(3, parts["train"], parts["val"], lambda: parts["test"], (0.5,), (0.5,))
    monkeypatch.setattr("petlsparse.data.loading.resolve", lambda *_: lambda: source)
    with pytest.raises(UserError, match=message) as caught:
        load_data("some")
    assert "some: the " in str(caught.value)


def test_nothing_of_the_test_part_is_kept_when_it_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def read() -> Split:
        test = part(7)
        seen.append(weakref.ref(test.images))
        return test

    source = RawDataset(3, part(), part(), read, (0.5,), (0.5,))
    monkeypatch.setattr("petlsparse.data.loading.resolve", lambda *_: lambda: source)
    data = load_data("some")
    assert [image() for image in seen] == [None]
    assert len(data.test()) == 7


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"name": "fashion-mnist-10"}, "did you mean fashion-mnist-10k"),
        ({"name": "digits", "train_examples": 801}, "between 1 and the 800 examples"),
        ({"name": "digits", "train_examples": 0}, "between 1"),
        ({"name": "digits", "image_size": 0}, "image_size"),
        ({"name": "digits", "channels": 2}, "channels"),
        ({"name": "digits", "train_on": "val"}, r"data\.train_on"),
    ],
)
def test_bad_requests_are_told(request_: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_data(**request_)


@pytest.mark.parametrize("damage", ["truncated", "text", "absent", "pickled", "other arrays"])
def test_damaged_npz_is_one_clear_error(tmp_path, damage: str) -> None:
    path = tmp_path / "some.npz"
    arrays = {"train_images": np.zeros((2, 28, 28), np.uint8), "train_labels": np.zeros(2, np.uint8)}
    if damage == "pickled":
        arrays["train_images"] = np.array([{}, {}])
    if damage != "absent":
        np.savez_compressed(path, **({"x": np.zeros(3)} if damage == "other arrays" else arrays))
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-40])
    if damage == "text":
        path.write_text("hello")
    with pytest.raises(UserError, match=r"some\.npz: cannot read the train images"):
        read_npz_part(path, "train")


HALF = ((0.5,), (0.5,))
CONSTANTS = {  # what each is published with, or declared to be centred on
    "fashion-mnist-10k": HALF,
    "digits": HALF,
    "sprites-location": HALF,
    "sprites-orientation": HALF,
    "shapes-count": ((0.5,) * 3, (0.5,) * 3),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_pixels_are_normalised_with_the_constants_of_the_data_set(name: str) -> None:
    data = load_data(name)
    assert (data.mean, data.std) == CONSTANTS[name]


def test_mean_and_std_are_not_taken_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = RawDataset(3, part(), part(), part, (0.25,), (0.75,))
    colour = Split(torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.ones(4, dtype=torch.int64))
    of_colour = RawDataset(3, colour, colour, lambda: colour, (0.1, 0.2, 0.6), (0.4, 0.5, 0.9))
    for source, channels, mean, std in (
        (grey, None, (0.25,), (0.75,)),
        (grey, 3, (0.25,) * 3, (0.75,) * 3),
        (of_colour, None, (0.1, 0.2, 0.6), (0.4, 0.5, 0.9)),
        (of_colour, 1, (pytest.approx(0.3),), (pytest.approx(0.6),)),
    ):
        monkeypatch.setattr("petlsparse.data.loading.resolve", lambda *_, source=source: lambda: source)
        data = load_data("some", channels=channels)
        assert (data.mean, data.std) == (mean, std)
