"""Every mistake a user can make ends in exit code 2 and one message that says what and where; never a traceback."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from petlsparse.recipe import load_recipe, shipped_recipes
from petlsparse.tracking.record import SCHEMA_VERSION, Record
from petlsparse.tracking.store import Plan, Store

from .conftest import Cli

SHIPPED = shipped_recipes()["dst-smoke"]
Change = tuple[str, str]


def assert_told(answer: tuple[int, str, str], *fragments: str) -> None:
    """The contract: exit code 2, nothing on stdout, one message on stderr with these words in it."""
    code, out, err = answer
    assert code == 2, err
    assert out == ""
    assert "Traceback" not in err
    assert err.lower().count("error") >= 1
    for fragment in fragments:
        assert fragment in err


RECIPE_MISTAKES: dict[str, tuple[Change, tuple[str, ...]]] = {
    "typo in a key": (("batch_size", "batchsize"), ("training.batchsize", "batch_size")),
    "typo in a table": (("[run.optimizer]", "[run.optimiser]"), ("optimiser", "optimizer")),
    "typo in a kind of method": (('"dst", d', '"dts", d'), ("dts", "dst")),
    "typo in a criterion": (("magnitude", "magnitud"), ("magnitud", "magnitude")),
    "typo in a growth rule": (('"random"', '"randm"'), ("randm", "random")),
    "typo in a data set": (("digits", "digit"), ("digit", "digits")),
    "typo in a network": (('"mlp"', '"mpl"'), ("mpl", "mlp")),
    "unknown study": (("dst-sweep", "dst-swep"), ("dst-swep", "dst-sweep")),
    "text where a number belongs": (("batch_size = 50", 'batch_size = "fifty"'), ("training.batch_size", "fifty")),
    "fraction where a count belongs": (("batch_size = 50", "batch_size = 0.5"), ("training.batch_size", "0.5")),
    "negative density": (("density = 0.2", "density = -0.2"), ("density", "-0.2")),
    "density above one": (("density = 0.2", "density = 20"), ("density", "20")),
    "a duration without a unit": (('"2 epochs"', '"2"'), ("training.duration", "epochs", "steps")),
    "no seeds": (("seeds = 2", "seeds = 0"), ("seeds",)),
    "a missing value": (("lr = 0.1", ""), ("optimizer.lr",)),
    "an empty axis": (("seeds = 2", 'seeds = 2\ngrid = { "optimizer.lr" = [] }'), ("optimizer.lr",)),
    "an unknown axis": (("seeds = 2", 'seeds = 2\ngrid = { "optimizer.rl" = [1.0] }'), ("optimizer.rl", "lr")),
    "lists of unequal length": (
        ("seeds = 2", 'seeds = 2\nzip = [{ "optimizer.lr" = [0.1, 0.2], "training.batch_size" = [1] }]'),
        ("zip", "length"),
    ),
    "a setting at the top": (("seeds = 2", "seeds = 2\nbatch_size = 10"), ("did you mean run.training.batch_size?",)),
    "a setting beside the tables": (("[run.data]", "[run]\nlr = 0.1\n[run.data]"), ("did you mean optimizer.lr?",)),
    "a rule without its table": (("seeds = 2", "seeds = 2\nexclude = [{ lr = 0.1 }]"), ("did you mean optimizer.lr?",)),
    "a missing parent": (("seeds = 2", 'seeds = 2\nextends = "nowhere"'), ("extends", "nowhere")),
    "broken TOML": (("[run.data]", "[run.data"), ("tiny.toml:", "TOML")),
    "a setting that the method has not": (
        ('kind = "dense"', 'kind = "dense", density = 0.1'),
        ("arms[0].method.density", "valid: kind"),
    ),
}


@pytest.mark.parametrize("mistake", RECIPE_MISTAKES)
def test_mistake_in_a_recipe(mistake: str, recipe: Path, cli: Cli) -> None:
    (old, new), fragments = RECIPE_MISTAKES[mistake]
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new))
    assert_told(cli("dst-sweep", recipe), "tiny.toml", *fragments)
    assert_told(cli("recipes", "validate", recipe), "tiny.toml", *fragments)
    assert not Path("results").exists()


FLAG_MISTAKES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "--set without a value": (("--set", "optimizer.lr"), ("--set", "optimizer.lr")),
    "--set of an unknown key": (("--set", "optimizer.rl=0.1"), ("--set optimizer.rl", "lr, head_lr")),
    "--set of a key without its table": (("--set", "density=0.1"), ("did you mean method.density?",)),
    "--axis of a key without its table": (("--axis", "lr=0.1,0.2"), ("did you mean optimizer.lr?",)),
    "--set of a typo without its table": (("--set", "desnity=0.1"), ("did you mean method.density?",)),
    "--set of a key in the wrong table": (("--set", "training.lr=0.1"), ("did you mean optimizer.lr?",)),
    "--set to a wrong type": (("--set", "training.batch_size=many"), ("training.batch_size", "many")),
    "--axis without values": (("--axis", "optimizer.lr="), ("--axis", "optimizer.lr")),
    "--seeds that are none": (("--seeds", "many"), ("seeds", "many")),
    "an unknown device": (("--device", "gpu"), ("device", "gpu", "cuda")),
    "a device that is not there": (("--device", "cuda:99"), ("device", "CUDA")),
    "TF32 on the CPU": (
        ("--device", "cpu", "--set", "training.precision=tf32"),
        ("training.precision", "tf32", "use float32"),
    ),
    "no workers": (("--workers", "0"), ("--workers",)),
    "text for a number": (("--limit", "some"), ("--limit", "valid integer")),
    "an unknown style of progress": (("--progress", "fancy"), ("--progress", "plain")),
    "an unknown flag": (("--freshly",), ("--freshly", "--fresh")),
}


@pytest.mark.parametrize("mistake", FLAG_MISTAKES)
def test_mistake_in_a_flag(mistake: str, recipe: Path, cli: Cli) -> None:
    flags, fragments = FLAG_MISTAKES[mistake]
    assert_told(cli("dst-sweep", recipe, *flags), *fragments)


COMMAND_MISTAKES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "typo in a recipe's name": (("dst-sweep", "dst-smok"), ("dst-smok", "dst-smoke")),
    "a recipe file that is not there": (("dst-sweep", "nowhere.toml"), ("nowhere.toml",)),
    "a recipe of the other study": (("adapter-search", "dst-smoke"), ("petlsparse dst-sweep dst-smoke",)),
    "a file without its suffix": (("dst-sweep", "tiny"), ("did you mean ./tiny.toml?",)),
    "a file with a wrong suffix": (("plan", "tiny.tml"), ("did you mean ./tiny.toml?",)),
    "a typo in a file without its suffix": (("plan", "tinny"), ("did you mean ./tiny.toml?",)),
    "typo in a command": (("dts-sweep", "dst-smoke"), ("dts-sweep", "dst-sweep")),
    "no recipe": (("dst-sweep",), ("RECIPE",)),
    "a folder that is not there": (("compare", "nowhere"), ("nowhere", "no such folder")),
    "a folder that is no store": (("compare", "."), ("not a results folder",)),
    "an unknown format": (("compare", ".", "--format", "excel"), ("--format", "markdown")),
    "an unknown metric": (("compare", ".", "--metric", "macro_f2"), ("--metric", "macro_f2", "macro_f1", "accuracy")),
    "an unknown run": (("show", "0123456789ab"), ("0123456789ab",)),
    "typo in a recipe to show": (("recipes", "show", "dst-smok"), ("dst-smok", "dst-smoke")),
    "a folder to copy to that is not there": (("recipes", "copy", "dst-smoke", "no/where.toml"), ("no",)),
    "a copy onto a file": (("recipes", "copy", "dst-smoke", "tiny.toml"), ("tiny.toml", "--force")),
    "a copy that cannot be written": (("recipes", "copy", "dst-smoke", "/proc/x.toml"), ("/proc/x.toml",)),
    "a copy onto itself": (("recipes", "copy", "dst-smoke", str(SHIPPED), "--force"), ("same file",)),
    "a name that is too long": (("recipes", "copy", "dst-smoke", 300 * "x"), ("xxx", "too long")),
    "results in a folder whose name is too long": (("dst-sweep", "tiny.toml", "--out", 300 * "x"), ("too long",)),
    "an edge that the backbone has not": (
        (
            *("adapter-search", "adapter-smoke", "--set", "backbone.pretrained=false"),
            *("--set", 'method={kind="adapters", placement={name="explicit", edges=[[0, 99]]}}'),
        ),
        ("edge 0->99", "0..12"),
    ),
    "images that are not there": (
        ("dst-sweep", "tiny.toml", "--set", "data.name=folder:nowhere", "--set", "data.image_size=8"),
        ("nowhere",),
    ),
}


@pytest.mark.parametrize("mistake", COMMAND_MISTAKES)
def test_mistake_in_a_command(mistake: str, recipe: Path, cli: Cli) -> None:
    arguments, fragments = COMMAND_MISTAKES[mistake]
    assert_told(cli(*arguments), *fragments)


def test_several_mistakes_are_told_at_once(recipe: Path, cli: Cli) -> None:
    recipe.write_text(recipe.read_text().replace("digits", "digit").replace("lr = 0.1", "lr = -1"))
    assert_told(cli("dst-sweep", recipe, "--seeds", "x"), "data.name", "optimizer.lr", "seeds")


# -- results folders that cannot be used -----------------------------------------------------------------------------


def a_file(folder: Path) -> None:
    folder.write_text("not a folder")


def newer_schema(folder: Path) -> None:
    store = Store.create(folder)
    store.write_record(Record("0123456789ab", "dst-sweep", "tiny", "done", {"seed": 1}))
    path = store.run_dir("0123456789ab") / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": SCHEMA_VERSION + 1}))


def newer_plan(folder: Path) -> None:
    store = Store.create(folder)
    store.write_plan(Plan("tiny"))
    path = store.path / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": SCHEMA_VERSION + 1}))


def damaged_table_alone(folder: Path) -> None:
    Store.create(folder).table("runs").write_bytes(b"PAR1 cut short")


def nothing_yet(folder: Path) -> None:
    Store.create(folder)


@pytest.mark.parametrize(
    ("spoil", "fragment"),
    [
        (a_file, "not a results folder"),
        (newer_schema, "newer petlsparse"),
        (newer_plan, "newer petlsparse"),
        (damaged_table_alone, "no records"),
        (nothing_yet, "no records"),
    ],
)
def test_store_that_cannot_be_compared(spoil: Callable[[Path], None], fragment: str, recipe: Path, cli: Cli) -> None:
    spoil(Path("spoilt"))
    assert_told(cli("compare", "spoilt"), "spoilt", fragment)


@pytest.mark.parametrize("out", ["tiny.toml", "tiny.toml/inside", "/proc/petlsparse"])
def test_results_folder_that_cannot_be_written(out: str, recipe: Path, cli: Cli) -> None:
    assert_told(cli("dst-sweep", recipe, "--out", out), out, "cannot write the results folder")


def test_store_of_a_newer_version_is_not_trained_into(recipe: Path, cli: Cli) -> None:
    newer_plan(Path("newer"))
    newer_schema(Path("newer"))
    run_id = json.loads(cli("plan", recipe, "--json").out)[0]["run_id"]
    (Path("newer") / "runs" / "0123456789ab").rename(Path("newer") / "runs" / run_id)
    assert_told(cli("dst-sweep", recipe, "--out", "newer"), "newer petlsparse")


def test_results_folder_that_cannot_be_locked(recipe: Path, cli: Cli) -> None:
    (Store.create(Path("odd")).path / ".lock").mkdir()
    assert_told(cli("dst-sweep", recipe, "--out", "odd"), "odd/.lock", "cannot lock")


def test_a_recipe_is_not_copied_onto_a_folder(recipe: Path, cli: Cli) -> None:
    Path("dst-smoke.toml").mkdir()
    assert_told(cli("recipes", "copy", "dst-smoke", "--force"), "dst-smoke.toml", "cannot be written")


def test_what_failed_before_is_looked_at_again(recipe: Path, cli: Cli) -> None:
    sets = ("data.name=folder:nowhere", "data.image_size=8")
    store = Store.create(Path("results/tiny"))
    for run in load_recipe(recipe, sets=sets).runs:
        store.write_record(Record(run.run_id, run.study, "tiny", "failed", run.settings()))
    assert_told(cli("dst-sweep", recipe, *(part for each in sets for part in ("--set", each))), "nowhere")


def test_the_working_directory_is_not_set_aside(recipe: Path, cli: Cli) -> None:
    Store.create(Path())
    assert_told(cli("dst-sweep", recipe, "--out", ".", "--fresh"), "working directory")
    assert Path("runs").is_dir()


def test_results_in_use_are_not_set_aside(recipe: Path, cli: Cli) -> None:
    with Store.create(Path("busy")).lock():
        assert_told(cli("dst-sweep", recipe, "--out", "busy", "--fresh"), "busy", "in use by")
