"""`recipes validate` tries what a command would try before training, and says where in the recipe a mistake stands."""

import json
from pathlib import Path

import pytest

from petlsparse.recipe import load_recipe
from petlsparse.tracking.record import Record
from petlsparse.tracking.store import Store

from .conftest import Cli

ADAPTERS = """\
study = "adapter-search"

[run.data]
name = "digits"

[run.backbone]
name = "vit-micro"

[run.optimizer]
name = "adamw"
lr = 1e-3

[run.training]
duration = "1 epoch"

[[arms]]
method = { kind = "linear-probe" }

[[arms]]
grid = { "method.placement.count" = [2, 500] }
method = { kind = "adapters", placement = "random" }

[[arms]]
method = { kind = "adapters", placement = { name = "explicit", edges = [[0, 1], [3, 99]] } }
"""


@pytest.fixture
def adapters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of adapters for vit-micro, which has nodes 0..12 and so 169 edges, with two mistakes."""
    monkeypatch.chdir(tmp_path)
    path = Path("adapters.toml")
    path.write_text(ADAPTERS)
    return path


def test_edges_and_counts_are_told_with_file_line_and_value(adapters: Path, cli: Cli) -> None:
    answer = cli("recipes", "validate", adapters)
    assert (answer.code, answer.out) == (2, "")
    assert 'adapters.toml:20: arms[1].grid."method.placement.count"[1]: must be between 1 and 169' in answer.err
    assert "value: 500" in answer.err
    assert "adapters.toml:24: arms[2].method.placement.edges: edge 3->99 leaves the backbone" in answer.err
    assert answer.err.count("error:") == 2


def test_a_study_command_tells_the_same_before_training(adapters: Path, cli: Cli) -> None:
    answer = cli("adapter-search", adapters)
    assert answer.code == 2
    assert answer.err == cli("recipes", "validate", adapters).err
    assert not Path("results").exists()


def test_a_mistake_of_a_parent_or_a_flag_is_told_there(adapters: Path, cli: Cli) -> None:
    Path("child.toml").write_text('extends = "./adapters.toml"\n[[arms]]\nmethod = { kind = "linear-probe" }\n')
    sets = ("--set", "backbone.image_size=33", "--set", "backbone.pretrained=false")
    assert "--set backbone.image_size=33: " in cli("adapter-search", "child.toml", *sets).err
    adapters.write_text(ADAPTERS.replace('"vit-micro"', '"vit-micro"\nimage_size = 33'))
    assert "adapters.toml:8: run.backbone.image_size: " in cli("recipes", "validate", "child.toml").err


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("density = 0.2", "density = 1e-6", "tiny.toml:25: arms[1].method.density"),
        ('name = "mlp"\nwidths = [8]', 'name = "lenet5"', "tiny.toml:10: run.network.name"),
        ("widths = [8]", "", ""),
        ("train_examples = 100", "train_examples = 5000", "tiny.toml:7: run.data.train_examples"),
    ],
)
def test_what_a_network_cannot_have_is_told(old: str, new: str, place: str, recipe: Path, cli: Cli) -> None:
    recipe.write_text(recipe.read_text().replace(old, new))
    answer = cli("recipes", "validate", recipe)
    assert answer.code == (2 if place else 0), answer.err
    assert place in answer.err


def test_data_that_are_not_here_are_no_mistake_but_said(recipe: Path, cli: Cli) -> None:
    recipe.write_text(recipe.read_text().replace('"digits"', '"cifar10"'))
    answer = cli("recipes", "validate", recipe)
    assert answer.code == 0
    assert "ok: tiny, 4 runs of dst-sweep" in answer.out
    assert "4 of 4 runs were checked by their settings alone" in answer.err
    (row,) = json.loads(cli("recipes", "validate", recipe, "--json").out)
    assert (row["runs"], row["unchecked"]) == (4, 4)


def test_weights_are_not_looked_for(adapters: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("petlsparse.backbones.hub.ensure_reachable", lambda *_: pytest.fail("asked the hub"))
    adapters.write_text(ADAPTERS.replace('"vit-micro"', '"vit_tiny_patch16_224"'))
    answer = cli("recipes", "validate", adapters)
    assert "nodes are 0..24" in answer.err  # of 12 blocks
    assert "weights" in answer.err


@pytest.mark.parametrize("command", [("plan",), ("recipes", "validate"), ("run",)])
def test_an_arm_that_never_updates_and_a_warm_up_beyond_the_end_are_told(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("never.toml").write_text(
        """\
study = "dst-sweep"
run.data.name = "digits"
run.network = { name = "mlp", widths = [8] }
run.optimizer = { name = "sgd", lr = 0.1 }
run.schedule = { name = "cosine", warmup = "9 epochs" }
run.training = { duration = "40 steps" }
[[arms]]
method = { kind = "dst", density = 0.5, criterion = "set", growth = "random" }
[[arms]]
method = { kind = "static", density = 0.5 }
"""
    )
    answer = cli(*command, "never.toml")
    assert answer.code == 2
    assert "never.toml:5: run.schedule.warmup: the warm-up of 117 steps is longer than the training of 40" in answer.err
    assert "no topology update falls into the 40 steps of training" in answer.err
    assert answer.err.count("error:") == 2


@pytest.mark.parametrize("command", [("plan",), ("recipes", "validate"), ("run",)])
def test_a_metric_to_select_by_is_refused_where_nothing_is_selected(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    for data in ("digits", "cifar10"):  # the latter is not here
        Path("all.toml").write_text(
            f"""\
study = "dst-sweep"
run.data = {{ name = "{data}", train_on = "train+val" }}
run.network = {{ name = "mlp", widths = [8] }}
run.optimizer = {{ name = "sgd", lr = 0.1, head_lr = 0.2 }}
run.training = {{ duration = "40 steps", select_by = "macro_f1" }}
run.method.kind = "dense"
"""
        )
        answer = cli(*command, "all.toml")
        assert answer.code == 2
        assert 'all.toml:5: run.training.select_by: nothing is selected: data.train_on = "train+val"' in answer.err
        assert "all.toml:4: run.optimizer.head_lr: nothing is pre-trained" in answer.err


@pytest.mark.parametrize(("status", "code"), [("failed", 2), ("done", 0)])
def test_a_failed_run_is_looked_at_again_and_a_finished_one_is_not(
    status: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    text = """\
study = "dst-sweep"
run.data.name = "digits"
run.network = { name = "mlp", widths = [8] }
run.optimizer = { name = "sgd", lr = 0.1 }
run.training = { duration = "40 steps" }
run.method = { kind = "dst", density = 0.5, criterion = "set", growth = "random" }
"""  # no update falls into 40 steps
    Path("never.toml").write_text(text)
    (run,) = load_recipe("never.toml").runs
    record = Record(run.run_id, run.study, "never", status, run.settings())
    Store.create(tmp_path / "results" / "never").write_record(record)
    assert cli("plan", "never.toml").code == code
