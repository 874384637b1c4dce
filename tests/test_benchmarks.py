"""The benchmarks' statistics, worked out by hand on a fake clock, and that every benchmark runs."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import BENCHMARKS, __main__, report
from benchmarks.harness import Clocks, Comparison, Contestant, Effort, beyond, compare, compare_on, matmul, summarise
from benchmarks.mlp import TINY, Variant, split, training
from benchmarks.trainings import Trained, as_one, contestants
from petlsparse.registry import resolve

SLOW = {"workers", "memory", "adapters", "vit", "bookkeeping", "bookkeeping-100k"}


class Workshop:
    """Contestants whose calls take as many seconds as their script says; CPU time runs at half the wall's pace."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []
        self.clocks = Clocks(cpu=lambda: self.now / 2, wall=lambda: self.now)

    def contestant(self, name: str, *seconds: float, flops: float | None = None) -> Contestant:
        return Contestant(name, self.call(name, iter(seconds)), flops)

    def call(self, name: str, seconds: Iterator[float]) -> Callable[[], None]:
        def work() -> None:
            self.log.append(name)
            self.now += next(seconds)

        return work


def made(**samples: list[float]) -> Comparison:
    return Comparison("made", {name: {"wall": values} for name, values in samples.items()}, by="wall")


def test_contestants_take_turns_and_the_first_call_of_each_does_not_count() -> None:
    shop = Workshop()
    a, b = shop.contestant("a", 100, 2, 4, 6), shop.contestant("b", 100, 1, 1, 3)
    measured = compare("t", [a, b], rounds=3, by="wall", clocks=shop.clocks)
    assert "".join(shop.log) == "ab" + "ab" * 3
    assert measured.samples["a"] == {"wall": [2, 4, 6], "cpu": [1, 2, 3]}
    assert measured.samples["b"] == {"wall": [1, 1, 3], "cpu": [0.5, 0.5, 1.5]}


def test_without_a_warm_up_every_call_counts() -> None:
    shop = Workshop()
    measured = compare("t", [shop.contestant("a", 5, 1)], rounds=2, warm=False, clocks=shop.clocks)
    assert measured.samples["a"]["wall"] == [5, 1]


def test_repeated_calls_count_one_each() -> None:
    shop = Workshop()
    measured = compare("t", [shop.contestant("a", 9, 1, 2, 3, 6)], rounds=2, repeat=2, clocks=shop.clocks)
    assert measured.samples["a"]["wall"] == [1.5, 4.5]


def test_parts_of_a_call_share_its_time_and_its_flops() -> None:
    shop = Workshop()
    four = replace(shop.contestant("four", 9, 8, 4, flops=40), parts=4)
    measured = compare("t", [shop.contestant("a", 9, 2, 3, flops=10), four], rounds=2, by="wall", clocks=shop.clocks)
    assert measured.samples["four"]["wall"] == [2, 1]
    assert measured.ratio("four").upper == 2.5
    assert measured.flops == {"a": 10, "four": 10}


def test_on_cuda_the_clock_is_read_when_the_device_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: log.append("wait"))
    measured = compare_on(torch.device("cuda"))("t", [Contestant("a", lambda: log.append("call"))], rounds=2)
    assert log == ["call", *["wait", "call", "wait"] * 2]
    assert measured.by == "wall"
    assert compare_on(torch.device("cpu")) is compare


def test_trainings_too_large_for_the_device_are_left_out_and_named() -> None:
    def too_large() -> list[Trained]:
        raise torch.cuda.OutOfMemoryError

    variants = [Variant(), Variant(0.5, update_period=2)]

    def two() -> list[Trained]:
        return [training(variant, TINY, train=split(300), val=split(0)) for variant in variants]

    found, notes = contestants({"two": two, "many": too_large}, steps=3)
    assert [(one.name, one.parts) for one in found] == [("two", 6)]
    assert notes == ["many: more than the memory of the device"]


def test_a_cohort_counts_as_many_runs_as_it_has_members() -> None:
    runs = [training(Variant(), TINY, train=split(300), val=split(0)) for _ in range(3)]
    (found,), _ = contestants({"three": lambda: [as_one(runs)]}, steps=5, examples=128)
    assert found.parts == 3 * 5 * 128
    assert [run.state.step for run in runs] == [5, 5, 5]


def test_quartiles_lie_between_the_values() -> None:
    assert summarise([4, 1, 3, 2]) == (1, 1.75, 2.5, 3.25, 4)
    assert summarise([7]) == (7, 7, 7, 7, 1)
    with pytest.raises(ValueError, match="nothing"):
        summarise([])


def test_ratios_are_of_rounds_and_not_of_medians() -> None:
    # The machine becomes ten times slower from round to round.
    measured = made(a=[1, 10, 100], b=[0.5, 5, 50], c=[1, 5, 200])
    assert measured.ratio("b") == (2, 2, 2, 2, 3)
    assert measured.ratio("c").median == 1  # of 1, 2, 0.5; the medians, 10 and 5, would say 2
    assert measured.ratio("a").median == 1


def test_what_one_takes_beyond_another_is_a_difference_per_round() -> None:
    measured = made(plain=[1, 2, 3], updating=[11, 22, 23])
    difference = beyond(measured, {"updating": "plain"})
    assert difference.samples == {"updating": {"wall": [10, 20, 20]}}
    assert difference.by == "wall"


def test_the_roof_takes_part_and_shares_are_of_its_rate() -> None:
    shop = Workshop()
    a, roof = shop.contestant("a", 0, 4, 4, flops=80), shop.contestant("roof", 0, 1, 1, flops=50)
    measured = compare("t", [a], rounds=2, by="wall", roof=roof, clocks=shop.clocks)
    assert shop.log[2:] == ["a", "roof"] * 2
    assert measured.share_of_roof("a") == 20 / 50
    assert measured.share_of_roof("roof") == 1
    assert made(a=[1.0]).share_of_roof("a") is None


def test_names_are_unique() -> None:
    shop = Workshop()
    with pytest.raises(ValueError, match="one name"):
        compare("t", [shop.contestant("a"), shop.contestant("a")], rounds=1)


def test_measuring_uses_one_thread_and_no_collection_and_puts_both_back() -> None:
    seen = []
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        compare("t", [Contestant("a", lambda: seen.append((torch.get_num_threads(), gc.isenabled())))], rounds=1)
        assert seen == [(1, False)] * 2
        assert (torch.get_num_threads(), gc.isenabled()) == (2, True)
    finally:
        torch.set_num_threads(before)


def test_matmul_counts_a_multiplication_and_an_addition() -> None:
    assert matmul(3, 5, 7).flops == 2 * 3 * 5 * 7


def test_files_hold_all_that_the_tables_show(tmp_path: Path) -> None:
    measured = made(a=[0.002, 0.004, 0.003], b=[0.001, 0.001, 0.001])
    path = report.write(tmp_path / "deep", "made", "python -m benchmarks made", report.conditions(), [measured])
    conditions, (read,) = report.read(path)
    assert read == replace(measured, notes=[])
    assert {"date", "cpu", "cores", "python", "torch_version", "git_sha", "command"} <= conditions.keys()
    assert json.loads(path.read_text())["comparisons"][0]["ratio"]["b"]["median"] == pytest.approx(3)
    text = report.markdown(read)
    assert "| a | 3 ms | 2.5 ms .. 3.5 ms | 2 ms | 3 | 1.00 | 1.00 .. 1.00 |  |" in text
    assert "| b | 1 ms | 1 ms .. 1 ms | 1 ms | 3 | 3.00 | 2.50 .. 3.50 |  |" in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(90, "s", "90 s"), (0.0123, "s", "12.3 ms"), (4e-6, "s", "4 us"), (3 * 2**20, "bytes", "3 MiB"), (0, "s", "0 us")],
)
def test_amounts_are_readable(value: float, unit: str, text: str) -> None:
    assert report.amount(value, unit) == text


def test_unknown_names_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", "sparse-stop"])
    with pytest.raises(SystemExit) as end:
        __main__.main()
    assert end.value.code == 2
    assert "sparse-stop" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in BENCHMARKS]
)
def test_every_benchmark_runs(name: str) -> None:
    comparisons = list(resolve(BENCHMARKS, name, "benchmark")(Effort(rounds=2, quick=True)))
    assert comparisons
    for comparison in comparisons:
        assert len({comparison.summary(contestant).n for contestant in comparison.samples}) == 1
        assert report.cells(comparison)
