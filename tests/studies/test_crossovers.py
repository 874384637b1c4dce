"""What was measured once is known to all, as long as there is a place to keep it; without one all goes on."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from petlsparse.sparsity.geometry import LayerGeometry
from petlsparse.studies import crossovers
from petlsparse.studies.crossovers import crossover, measured_once


def refuse() -> float:
    raise AssertionError("measured again")


def test_a_number_is_measured_once(tmp_path: Path) -> None:
    file = tmp_path / "new" / "numbers.json"
    assert measured_once(file, "a", lambda: 0.25) == 0.25
    assert measured_once(file, "b", lambda: 0.5) == 0.5
    assert measured_once(file, "a", refuse) == 0.25
    assert json.loads(file.read_text()) == {"a": 0.25, "b": 0.5}


@pytest.mark.parametrize("content", ["", '{"a": 0.2', "[1, 2]", '{"a": "much"}', '{"a": null}', '{"a": NaN}', "\xff"])
def test_a_damaged_file_is_measured_anew_and_mended(tmp_path: Path, content: str) -> None:
    file = tmp_path / "numbers.json"
    file.write_bytes(content.encode("latin-1"))
    assert measured_once(file, "a", lambda: 0.25) == 0.25
    assert json.loads(file.read_text()) == {"a": 0.25}


def test_without_a_folder_to_write_to_everything_works(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.touch()
    for measured in (0.25, 0.5):
        assert measured_once(occupied / "numbers.json", "a", lambda measured=measured: measured) == measured


def measured_by(process: int, log: Path) -> float:
    with log.open("a") as file:
        file.write(f"{process}\n")
    time.sleep(0.05)
    return float(process)


def ask(file: Path, log: Path) -> float:
    return measured_once(file, "a", lambda: measured_by(os.getpid(), log))


def test_processes_that_ask_at_once_agree_and_one_measures(tmp_path: Path) -> None:
    file, log = tmp_path / "numbers.json", tmp_path / "log"
    with multiprocessing.get_context("fork").Pool(4) as pool:
        answers = pool.starmap(ask, [(file, log)] * 8)
    assert len(set(answers)) == 1
    assert log.read_text().count("\n") == 1


def test_a_crossover_is_of_one_site_and_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = (number / 100 for number in range(1, 17))
    monkeypatch.setenv("PETLSPARSE_CACHE", str(tmp_path))
    monkeypatch.setattr(crossovers, "_measured", lambda geometry, batch: next(numbers))
    image = LayerGeometry((10, 20, 3, 3), (8, 9), (1, 2), (1, 0))
    geometries = [
        LayerGeometry((10, 20)),
        LayerGeometry((11, 20)),
        LayerGeometry((11, 20), needs_input_grad=False),
        image,
        replace(image, image=(9, 8)),
        replace(image, stride=(2, 1)),
        replace(image, padding=(0, 1)),
        replace(image, needs_input_grad=False),
    ]
    expected = {(geometry, batch): (i + 1) / 100 for i, (geometry, batch) in enumerate(product(geometries, (5, 6)))}
    assert {(geometry, batch): crossover(geometry, batch_size=batch) for geometry, batch in expected} == expected
    monkeypatch.setattr(crossovers, "_measured", lambda *_: refuse())
    assert {(geometry, batch): crossover(geometry, batch_size=batch) for geometry, batch in expected} == expected
    assert len(json.loads((tmp_path / "crossovers.json").read_text())) == 16
