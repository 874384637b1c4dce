"""Functions in files of the user's: trained like any other, recorded with the content of their files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from petlsparse.data import load_data
from petlsparse.data.shapes import shape_of
from petlsparse.launch.in_process import InProcessLauncher
from petlsparse.launch.plan import execute_plan
from petlsparse.recipe import load_recipe
from petlsparse.tracking.compaction import read_table
from petlsparse.tracking.store import Store
from tests.pages import blocks

RECIPE = """
study = "dst-sweep"
seeds = 2
[run]
data = { name = "digits", train_examples = 60 }
network = { name = "mlp", widths = [12] }
optimizer = { name = "sgd", lr = 0.1 }
training = { duration = "12 steps", batch_size = 20 }
[run.method]
kind = "dst"
density = 0.3
growth = "gradient"
update_period = 3
"""
CODE = """
def score(active, *, power=1.0, gradient: float = 1.0):
    \"\"\"A score of one's own.

    Args:
        power: of the weight.
    \"\"\"
    return active.weight.abs() ** power + gradient * active.gradient.abs()
"""
ODD = """
from __future__ import annotations
import torch
def untyped(active, *, power): ...
def unknown(active, *, power: Nothing = 1): ...
def tensor(active, *, mask: torch.Tensor): ...
def named(active, *, name: str = "x"): ...
def loose(active, power=1.0): ...
def none(*, power: float = 1.0): ...
def clash(active, *, lambda_: str = "x"): ...
"""
FAILING = """
import torch
def short(active): return active.weight[:3]
def nan(active): return active.weight * torch.nan
def undeclared(active):
    return active.statistics["total"]
def flat(weights): return weights.gradient[:2]
def most(active): return active.weight > 0
"""
OWN = '{ name = "mine.py:score", power = 1.0, gradient = 0.5 }'
MEST = '{ name = "mest", lambda = 0.5 }'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(CODE)
    return tmp_path


def train(criterion: str, out: str, **launch: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Topology and runs of a training in this process."""
    Path("r.toml").write_text(RECIPE + f"criterion = {criterion}\n")
    recipe = load_recipe("r.toml")
    recipe = replace(recipe, launch=recipe.launch.overridden({"workers": 0, **launch}))
    assert set(execute_plan(recipe, Store.create(Path(out)), device="cpu").statuses.values()) == {"done"}
    topology = read_table(Path(out), "topology").drop(columns=["run_id", "schema_version"])
    return topology, read_table(Path(out), "runs")


@pytest.mark.parametrize(
    "launch",
    [{"backend": "masked", "cohort": "off"}, {"backend": "csr", "cohort": "off"}, {"cohort": 2}],
    ids=["masked", "csr", "cohort"],
)
def test_a_score_of_ones_own_prunes_what_the_equal_one_of_the_registry_does(launch: dict[str, object]) -> None:
    own, runs = train(OWN, "own", **launch)
    known, _ = train(MEST, "known", **launch)
    assert len(own) > 10
    assert own.equals(known)
    assert list(runs["method_criterion"]) == ["mine.py:score"] * 2
    assert runs["method_criterion_gradient"].dtype == float
    assert list(runs["method_criterion_gradient"]) == [0.5] * 2
    assert runs["source_fingerprint"].notna().all()


def test_changed_code_makes_finished_runs_stale(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("petlsparse.launch.plan.LocalLauncher", lambda _: InProcessLauncher("cpu", lambda *_: None))
    train(OWN, "own")
    Path("mine.py").write_text(CODE.replace("active.weight", "2 * active.weight"))
    answer = cli("dst-sweep", "r.toml", "--out", "own", "--workers", "1")
    assert answer.code == 2
    assert "the code of your own files" in answer.err
    assert cli("dst-sweep", "r.toml", "--out", "own", "--workers", "1", "--stale", "redo").code == 0


DATA = """
import torch
from petlsparse.data.types import RawDataset, Split
def part(count):
    labels = torch.arange(count) % 2
    images = (labels * 100 + torch.arange(count) % 50).to(torch.uint8)
    return Split(images.view(-1, 1, 1, 1).expand(-1, 1, 4, 6), labels)
def lit():
    return RawDataset(2, part(40), part(20), lambda: part(30), mean=(0.3,), std=(0.2,))
def none(): return None
def broken(): return part(-1)
def given(size): ...
"""


def test_a_data_set_of_ones_own_is_trained_on_and_its_content_is_its_fingerprint() -> None:
    Path("data.py").write_text(DATA)
    assert shape_of("data.py:lit") == (1, 4, 6, 2)
    text = RECIPE.replace('"digits", train_examples = 60', '"data.py:lit", train_examples = 30')
    Path("r.toml").write_text(text + 'criterion = "magnitude"\n')
    recipe = load_recipe("r.toml")
    recipe = replace(recipe, launch=recipe.launch.overridden({"workers": 0}))
    assert set(execute_plan(recipe, Store.create(Path("out")), device="cpu").statuses.values()) == {"done"}
    runs = read_table(Path("out"), "runs")
    assert runs[["data_name", "classes", "examples_train", "examples_val", "examples_test"]].iloc[0].tolist() == [
        "data.py:lit", 2, 30, 20, 30,
    ]  # fmt: skip
    assert (runs["data_fingerprint"] == load_data("data.py:lit", train_examples=30).fingerprint).all()
    assert runs["source_fingerprint"].isna().all()


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("data.py:missing", 'run.data.name: "data.py" has no data set "missing"'),
        ("data.py:given", '"data.py:given" takes (size); it should take (*, ...)'),
        ("data.py:none", 'run.data.name: "data.py:none" returns a NoneType, not a RawDataset'),
        ("data.py:broken", 'run.data.name: "data.py:broken" fails in line 5: RuntimeError'),
    ],
)
def test_what_is_wrong_with_a_data_set_of_ones_own_is_told(cli, name: str, told: str) -> None:
    Path("data.py").write_text(DATA)
    Path("r.toml").write_text(RECIPE.replace("digits", name) + 'criterion = "magnitude"\n')
    answer = cli("recipes", "validate", "r.toml")
    assert answer.code == 2
    assert told in answer.err


def test_reading_planning_and_training_refuse_a_function_that_takes_something_else_alike(cli) -> None:
    Path("odd.py").write_text(ODD)
    Path("r.toml").write_text(RECIPE + 'criterion = "odd.py:loose"\n')
    answers = {cli(*words, "r.toml") for words in (["recipes", "validate"], ["plan"], ["run"], ["dst-sweep"])}
    (answer,) = answers
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        'error: r.toml:14: run.method.criterion: "odd.py:loose" takes (active, power=1.0); '
        'it should take (active, *, ...), settings keyword-only (after *)\n  value: "odd.py:loose"\n'
    )
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("criterion", "told"),
    [
        (
            '"mine.py:scor"',
            ('"mine.py" has no criterion "scor"', "did you mean mine.py:score?", "run.method.criterion"),
        ),
        ('"yours.py:score"', ('"yours.py" cannot be read: No such file',)),
        ('"broken.py:score"', ('"broken.py" fails: ZeroDivisionError',)),
        ('"odd.py:untyped"', ('"odd.py:untyped" has an argument of a type that no recipe can write',)),
        ('"odd.py:unknown"', ("a type that no recipe can write: name 'Nothing' is not defined",)),
        ('"odd.py:tensor"', ("a type that no recipe can write", "run.method.criterion")),
        ('"odd.py:named"', ('has an argument "name"',)),
        ('"odd.py:loose"', ('"odd.py:loose" takes (active, power=1.0); it should take (active, *, ...)',)),
        ('"odd.py:none"', ('"odd.py:none" takes (*, power=1.0)', "run.method.criterion")),
        ('"odd.py:clash"', ('the setting "lambda" of "odd.py:clash" has another type',)),
        ('{ name = "mine.py:score", powr = 2.0 }', ('unknown key "powr"', "did you mean power?")),
        ('{ name = "mine.py:score", power = "two" }', ("run.method.criterion.power: should be a number",)),
    ],
    ids=[
        "no such function",
        "no such file",
        "fails",
        "untyped",
        "undefined",
        "tensor",
        "name",
        "positional",
        "nothing",
        "column",
        "setting",
        "value",
    ],
)
def test_what_is_wrong_with_ones_own_file_is_told_in_a_message(cli, criterion: str, told: tuple[str, ...]) -> None:
    Path("broken.py").write_text("1 / 0\n")
    Path("odd.py").write_text(ODD)
    Path("r.toml").write_text(RECIPE + f"criterion = {criterion}\n")
    answer = cli("dst-sweep", "r.toml", "--workers", "1")
    assert answer.code == 2
    assert all(text in answer.err for text in told), answer.err


@pytest.mark.parametrize(
    ("setting", "name", "told"),
    [
        ("criterion", "short", "criterion short gives scores of shape (3,) for weights of shape (8,)"),
        ("criterion", "nan", "criterion nan gives NaN for 8 of 8 weights"),
        ("criterion", "undeclared", "in line 6: KeyError: 'total'"),
        ("growth", "flat", "scores of shape (2,) for weights of shape (8,)"),
    ],
)
def test_what_fails_on_a_few_weights_is_told_before_training(cli, setting: str, name: str, told: str) -> None:
    Path("failing.py").write_text(FAILING)
    text = RECIPE.replace('growth = "gradient"\n', "") + 'criterion = "magnitude"\ngrowth = "gradient"\n'
    Path("r.toml").write_text(re.sub(f"^{setting} = .*$", f'{setting} = "failing.py:{name}"', text, flags=re.MULTILINE))
    answer = cli("dst-sweep", "r.toml", "--workers", "1")
    assert answer.code == 2
    assert f'run.method.{setting}: "failing.py:{name}" fails' in answer.err.replace("\n", "")
    assert told in answer.err
    assert not Path("results").exists()


def test_scores_may_be_whole_or_truth_values() -> None:
    Path("failing.py").write_text(FAILING)
    topology, _ = train('"failing.py:most"', "most")
    assert topology["pruned"].sum() > 0


def test_criteria_of_ones_own_and_of_the_registry_are_trained_as_one() -> None:
    arm = (
        '[[arms]]\nmethod = { kind = "dst", density = 0.3, update_period = 3, growth = "random", criterion = "NAME" }\n'
    )
    arms = [arm.replace("NAME", name) for name in ("magnitude", "mine.py:score")]
    Path("r.toml").write_text(RECIPE.partition("[run.method]")[0] + "".join(arms))
    recipe = load_recipe("r.toml")
    recipe = replace(recipe, launch=recipe.launch.overridden({"workers": 0, "cohort": 4}))
    execute_plan(recipe, Store.create(Path("mixed")), device="cpu")
    assert list(read_table(Path("mixed"), "runs")["cohort"]) == [4] * 4


@pytest.fixture
def of_the_page() -> None:
    """The files of the how-to page."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-criterion.md"
    code = [block for language, block in blocks(page.read_text()) if language == "python"]
    for name, block in zip(("mine.py", "usage.py"), code, strict=True):
        assert block.startswith(f"# {name}\n")
        Path(name).write_text(block)


@pytest.mark.usefixtures("of_the_page")
def test_the_criterion_of_the_how_to_page_is_trained_with_its_setting() -> None:
    few, _ = train('{ name = "mine.py:soft_magnitude", temperature = 0.0 }', "few")
    magnitude, _ = train('"magnitude"', "magnitude")
    assert few.equals(magnitude)  # without noise
    noisy, _ = train('"mine.py:soft_magnitude"', "noisy")
    assert not noisy.equals(magnitude)


@pytest.mark.usefixtures("of_the_page")
def test_the_statistic_of_the_how_to_page_remembers_as_long_as_its_setting_says() -> None:
    Path("now.py").write_text("def gradient(active):\n    return active.gradient.abs()\n")
    forgetful, _ = train('{ name = "usage.py:least_used", decay = 0.0 }', "forgetful")
    now, _ = train('"now.py:gradient"', "now")
    assert forgetful.equals(now)
    remembering, _ = train('"usage.py:least_used"', "remembering")
    assert not remembering.equals(now)
