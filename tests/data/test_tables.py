"""Tables of encoded images: columns found or asked for, labels as numbers, text or ClassLabel, parts by names."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from petlsparse.data import load_data
from petlsparse.data.files.table_files import ParquetTable
from petlsparse.data.shapes import shape_of
from petlsparse.errors import UserError


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((5, 7, 3), number, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def table(numbers: range, **columns: Any) -> pa.Table:
    """Plain images, as bright as their number, as Hugging Face stores them, and other columns."""
    images = [{"bytes": png(n), "path": f"{n}.png"} for n in numbers]
    return pa.table({"image": images} | {name: pa.array(values) for name, values in columns.items()})


def with_features(one: pa.Table, **features: Any) -> pa.Table:
    return one.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def brightness(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


@pytest.fixture
def flowers(data_root: Path) -> Path:
    """A repository of Hugging Face's hub: shards by part in `data/`, in several row groups."""
    folder = data_root / "flowers/data"
    folder.mkdir(parents=True)
    for name, numbers in (
        ("train-00000-of-00002", range(12)),
        ("train-00001-of-00002", range(12, 20)),
        ("validation-00000-of-00001", range(20, 24)),
        ("test-00000-of-00001", range(24, 29)),
    ):
        label = pa.array([n % 2 for n in numbers])
        pq.write_table(
            with_features(
                table(numbers, label=label), label={"names": ["rose", "tulip", "lily"], "_type": "ClassLabel"}
            ),
            folder / f"{name}.parquet",
            row_group_size=5,
        )
    return folder


def test_parts_are_those_of_the_files_names(flowers: Path) -> None:
    data = load_data("parquet:flowers", image_size=4)
    assert brightness(data.train.images) == list(range(20))
    assert data.train.labels.tolist() == [n % 2 for n in range(20)]
    assert brightness(data.val.images) == [20, 21, 22, 23]
    assert brightness(data.test().images) == [24, 25, 26, 27, 28]
    assert data.description is not None
    assert data.description.class_names == ("rose", "tulip", "lily")
    assert data.description.made["train"] == "data/train-00000-of-00002.parquet and 1 more"
    assert shape_of("parquet:flowers", 4) == (3, 4, 4, 3)


def test_a_data_set_that_was_saved_is_the_same_data(flowers: Path, data_root: Path) -> None:
    folder = data_root / "saved"
    for split in ("train", "validation", "test"):
        (folder / split).mkdir(parents=True)
        files = sorted(flowers.glob(f"{split}-*.parquet"))
        names = [f"data-{n:05}-of-{len(files):05}.arrow" for n in range(len(files))]
        for name, file in zip(names, files, strict=True):
            one = pq.read_table(file)
            with pa.OSFile(str(folder / split / name), "wb") as sink, pa.ipc.new_stream(sink, one.schema) as writer:
                writer.write_table(one, max_chunksize=3)
        state = {"_data_files": [{"filename": name} for name in names], "_split": split}
        (folder / split / "state.json").write_text(json.dumps(state))
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "validation", "test"]}')
    parquet, arrow = load_data("parquet:flowers", image_size=4), load_data("arrow:saved", image_size=4)
    assert (arrow.fingerprint, arrow.test_fingerprint) == (parquet.fingerprint, parquet.test_fingerprint)
    assert shape_of("arrow:saved") == (3, 224, 224, 3)
    alone = load_data("arrow:saved/train", image_size=4)
    assert [len(alone.train), len(alone.val), alone.test_examples] == [14, 2, 4]


def test_a_folder_of_the_cache_of_datasets_is_read(flowers: Path, data_root: Path) -> None:
    folder = data_root / "test_flowers/default/0.0.0/1234"
    folder.mkdir(parents=True)
    for file in flowers.glob("*.parquet"):
        one = pq.read_table(file)
        target = folder / f"test_flowers-{file.stem}.arrow"  # the name of the data set is not that of a part
        with pa.OSFile(str(target), "wb") as sink, pa.ipc.new_stream(sink, one.schema) as writer:
            writer.write_table(one)
    (folder / "cache-0123456789abcdef.arrow").write_bytes(b"what map has made of it")
    (folder / "dataset_info.json").write_text("{}")
    parquet, arrow = load_data("parquet:flowers", image_size=4), load_data(f"arrow:{folder}", image_size=4)
    assert (arrow.fingerprint, arrow.test_fingerprint) == (parquet.fingerprint, parquet.test_fingerprint)


def test_one_row_group_of_all_files_is_held(flowers: Path) -> None:
    files = sorted(flowers.glob("train-*.parquet"))
    held: dict[Any, Any] = {}
    tables = [ParquetTable(file, held) for file in files]
    for table_, first in zip(tables, (0, 12), strict=True):
        for row in range(table_.rows):
            assert table_.value("image", row)["bytes"] == png(first + row)
            ((_, _, group),) = held
            assert group == row // 5


def test_a_file_by_itself_is_cut_by_class_and_text_is_numbered_in_its_order(data_root: Path) -> None:
    kinds = ["cat" if n % 2 else "dog" for n in range(40)]
    images = pa.array([png(n) for n in range(40)])
    pq.write_table(pa.table({"photo": images, "kind": pa.array(kinds).dictionary_encode()}), data_root / "pets.parquet")
    data = load_data("parquet:pets.parquet", image_size=4)
    parts = [data.train, data.val, data.test()]
    assert [len(part) for part in parts] == [29, 3, 8]
    assert sorted(brightness(torch.cat([part.images for part in parts]))) == list(range(40))
    for part in parts:  # "cat" comes before "dog"
        assert part.labels.tolist() == [1 - n % 2 for n in brightness(part.images)]


def test_columns_are_asked_for_where_several_could_be_meant(data_root: Path) -> None:
    one = table(range(20), fine=[n % 4 for n in range(20)], coarse=[n % 2 for n in range(20)])
    one = one.append_column("mask", pa.array([png(100)] * 20))
    pq.write_table(one, data_root / "both.parquet")
    with pytest.raises(UserError, match=r"2 columns could be the labels; set data.label_column\n  valid: fine, coarse"):
        load_data("parquet:both.parquet", image_size=4)
    with pytest.raises(UserError, match=r"2 columns could be the images; set data.image_column\n  valid: image, mask"):
        load_data("parquet:both.parquet", image_size=4, label_column="fine")
    with pytest.raises(
        UserError, match=r"data.label_column: .*both.parquet has no such column of labels\n.*\n.*coarse"
    ):
        load_data("parquet:both.parquet", image_size=4, label_column="course")
    fine, coarse, mask = (
        load_data("parquet:both.parquet", image_size=4, image_column=image, label_column=label)
        for image, label in (("image", "fine"), ("image", "coarse"), ("mask", "coarse"))
    )
    assert (fine.classes, coarse.classes) == (4, 2)
    assert shape_of("parquet:both.parquet", None, "fine").classes == 4
    assert set(brightness(mask.train.images)) == {100}


def test_rows_without_an_image_are_told(data_root: Path) -> None:
    one = table(range(20), label=[n % 2 for n in range(20)]).to_pydict()
    one["image"][3] = {"bytes": None, "path": None}
    one["image"][4] = {"bytes": b"no picture", "path": None}
    pq.write_table(pa.table(one), data_root / "train.parquet")
    with pytest.raises(UserError) as caught:
        load_data("parquet:train.parquet", image_size=4, val_fraction=0.1, test_fraction=0.1)
    told = str(caught.value)
    assert "train.parquet, row 3: no image in this row" in told
    assert "train.parquet, row 4: no image that Pillow knows" in told


BAD = [
    ({"label": [0, 1, None] * 4}, "label: 4 labels are missing"),
    ({"label": [0, 1, -1] * 4}, "label: labels should be numbers from 0"),
    ({"score": [0.5] * 12}, "no columns could be the labels"),
]


@pytest.mark.parametrize(("columns", "message"), BAD, ids=[message for _, message in BAD])
def test_labels_that_are_none_are_refused(data_root: Path, columns: dict[str, Any], message: str) -> None:
    pq.write_table(table(range(12), **columns), data_root / "bad.parquet")
    with pytest.raises(UserError, match=message):
        load_data("parquet:bad.parquet", image_size=4)


def test_files_and_folders_of_no_clear_meaning_are_refused(data_root: Path, flowers: Path) -> None:
    (data_root / "empty").mkdir()
    (data_root / "broken.parquet").write_bytes(b"PAR1")
    (flowers / "extra.parquet").write_bytes((flowers / "test-00000-of-00001.parquet").read_bytes())
    for name, message in (
        ("parquet:empty", "has no parquet files"),
        ("parquet:nowhere", "PETLSPARSE_DATA"),
        ("parquet:broken.parquet", "cannot be read"),
        ("parquet:flowers", "data/extra.parquet: neither training, validation nor test part by its name"),
        ("arrow:empty", "no dataset_dict.json, no state.json and no .arrow files"),
    ):
        with pytest.raises(UserError, match=message):
            load_data(name, image_size=4)
