"""Whatever the file and the flags say: a recipe or a UserError, nothing else."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from petlsparse.errors import UserError
from petlsparse.recipe import load_recipe
from petlsparse.recipe.origins import line_numbers

RECIPE = {
    "study": "dst-sweep",
    "seeds": 2,
    "run": {
        "data": {"name": "digits"},
        "network": {"name": "mlp", "widths": [8, 4]},
        "method": {"density": 0.1},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "schedule": {"name": "step", "milestones": [0.5]},
        "training": {"duration": "1 epoch"},
    },
    "grid": {"optimizer.lr": [0.1, 1]},
    "zip": [{"training.batch_size": [8, 16], "data.train_on": ["train", "train+val"]}],
    "exclude": [{"method.kind": "dense", "seed": [1]}],
    "arms": [
        {"method": {"kind": "dense"}},
        {"method": {"kind": "dst", "growth": "random"}, "grid": {"method.criterion": ["set", "mest"]}},
    ],
    "output": {"save_weights": "last"},
    "launch": {"workers": 2},
}

keys = st.sampled_from(
    ["run", "grid", "zip", "arms", "method", "kind", "optimizer.lr", "seed", "study", "x", "a.b", ""]
)
words = st.sampled_from(["dense", "static", "sgd", "adam", "1 epoch", "train", "dst-sweep", "adapter-search", "", "é]"])
scalars = st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | words
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)


def places(value, path=()):
    """All places in a nested value where something can be put."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key)
        yield from places(below, (*path, key))


@st.composite
def damaged(draw):
    """The recipe with up to three of its values replaced, removed or joined by others."""
    recipe = json.loads(json.dumps(RECIPE))
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(list(places(recipe))))
        holder = recipe
        for key in path:
            holder = holder[key]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                holder[last] = draw(values)
            case "remove":
                del holder[last]
            case "add" if isinstance(holder, dict):
                holder[draw(keys)] = draw(values)
            case _:
                holder.append(draw(values))
    return recipe


def toml(value):
    """`value` as inline TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


def outcome(recipe, **flags):
    with TemporaryDirectory() as folder:
        file = Path(folder, "recipe.toml")
        file.write_text("".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in recipe.items()))
        try:
            return load_recipe(file, **flags)
        except UserError as error:
            return error


def test_the_recipe_to_be_damaged_is_sound():
    assert len(outcome(RECIPE).runs) == (1 + 2 * 2) * 2 * 2


@given(damaged())
def test_a_damaged_file_gives_runs_or_problems(recipe):
    found = outcome(recipe)
    assert getattr(found, "runs", None) or found.problems


paths = st.lists(keys | st.sampled_from(["name", "density", "criterion"]), min_size=1, max_size=3).map(".".join)
texts = st.builds("{}={}".format, paths, values.map(toml) | words | st.text(max_size=8)) | st.text(max_size=8)


@given(st.lists(texts, max_size=2), st.lists(texts, max_size=2), st.none() | st.text("0123,[] -x", max_size=4))
def test_any_flags_give_runs_or_problems(sets, axes, seeds):
    found = outcome(RECIPE, sets=sets, axes=axes, seeds=seeds)
    assert getattr(found, "runs", None) or found.problems


@given(damaged())
def test_the_lines_of_a_file_written_one_key_a_line_are_found(recipe):
    text = "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in recipe.items())
    lines = line_numbers(text)
    assert [lines[key,] for key in recipe] == list(range(1, len(recipe) + 1))
