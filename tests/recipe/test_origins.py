from petlsparse.recipe.origins import Origins, line_numbers, show

TEXT = '''\
# a comment = 1
study = "dst-sweep"

[run]
data.name = "a # no comment"
"network" = {}
[run.training]   # header = 2
duration = """
[not.a.header]
key = 3
"""
batch_size = 64
[grid]
"method.density" = [
    0.1,  # [looks] = like
    0.2,
]
method.rank = [1]
[[zip]]
optimizer.lr = [1]
[[zip]]
"optimizer.lr" = [2]
[[arms]]
method = { kind = "dense", deep = { er = 1 } }
[[arms]]
[arms.method]
kind = "dst"
[arms.grid]
"method.criterion" = ["set"]
'''


def test_every_key_is_found_on_its_line():
    lines = line_numbers(TEXT)
    places = {
        ("study",): "study",
        ("run",): "[run]",
        ("run", "data", "name"): "data.name",
        ("run", "network"): '"network"',
        ("run", "training"): "[run.training]",
        ("run", "training", "duration"): "duration",
        ("run", "training", "batch_size"): "batch_size",
        ("grid",): "[grid]",
        ("grid", "method.density"): '"method.density"',
        ("grid", "method.density", 1): '"method.density"',
        ("grid", "method.rank"): "method.rank",
        ("zip", 0, "optimizer.lr"): "optimizer.lr",
        ("zip", 1, "optimizer.lr"): '"optimizer.lr"',
        ("arms", 0, "method", "kind"): "method = ",
        ("arms", 0, "method", "deep", "er"): "method = ",
        ("arms", 1, "method"): "[arms.method]",
        ("arms", 1, "method", "kind"): 'kind = "dst"',
        ("arms", 1, "grid", "method.criterion"): '"method.criterion"',
    }
    text = TEXT.split("\n")
    assert {path: text[lines[path] - 1].startswith(begins) for path, begins in places.items()} == dict.fromkeys(
        places, True
    )


def test_nothing_is_found_inside_strings_and_comments():
    assert not any("not" in path or "key" in path or "looks" in path for path in line_numbers(TEXT))


def test_a_key_path_is_shown_as_it_is_written():
    assert show(("arms", 0, "grid", "method.density", 2)) == 'arms[0].grid."method.density"[2]'


def test_a_place_is_the_flag_or_the_last_file_that_has_the_longest_part_of_the_path():
    old = {("run",): 1, ("run", "data"): 2, ("run", "data", "name"): 3}
    new = {("run",): 10, ("run", "data"): 20}
    origins = Origins([("old.toml", old), ("new.toml", new)], {("run", "seed"): "--set seed=1"})
    assert origins.where(("run", "data", "name")) == "old.toml:3: run.data.name"
    assert origins.where(("run", "data", "fit")) == "new.toml:20: run.data.fit"
    assert origins.where(("run", "seed", "x")) == "--set seed=1"
    assert origins.where(("output",)) == "new.toml: output"
