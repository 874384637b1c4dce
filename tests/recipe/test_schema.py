"""Which runs there are: strict types, ranges, and settings that must fit each other."""

import pytest
from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema

from petlsparse.errors import UserError
from petlsparse.recipe import AdapterRun, Duration, SparseRun, parse_run
from petlsparse.recipe.schema import RUN_TYPES, TAGS, Data, fields_of, keys_of, neutral_columns, setting_types

SPARSE = {
    "study": "dst-sweep",
    "data": {"name": "digits"},
    "network": {"name": "mlp"},
    "method": {"kind": "dense"},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "training": {"duration": "2 epochs"},
    "seed": 1,
}
ADAPTER = {key: value for key, value in SPARSE.items() if key != "network"} | {
    "study": "adapter-search",
    "method": {"kind": "linear-probe"},
}
DST = {"kind": "dst", "density": 0.1, "criterion": "set", "growth": "random"}


def adapters(**settings):
    return ADAPTER | {"method": {"kind": "adapters", **settings}}


def refusal(settings) -> dict[str, str]:
    """Message by key path."""
    with pytest.raises(UserError) as caught:
        parse_run(settings)
    return {problem.where: problem.message for problem in caught.value.problems}


def test_defaults_are_filled_in():
    run = parse_run(ADAPTER)
    assert isinstance(run, AdapterRun)
    assert (run.backbone.name, run.backbone.pretrained) == ("vit-micro", True)
    assert (run.optimizer.momentum, run.optimizer.nesterov) == (0.9, True)
    assert (run.schedule.name, run.schedule.warmup) == ("constant", Duration(0, "steps"))
    assert (run.training.batch_size, run.training.evaluate_every) == (64, Duration(1, "epochs"))


def test_columns_are_flat_and_plain():
    run = parse_run(SPARSE | {"network": {"name": "mlp", "widths": [8, 4]}, "method": DST})
    assert isinstance(run, SparseRun)
    columns = run.flat()
    assert columns["network_widths"] == "[8,4]"
    assert columns["training_duration"] == "2 epochs"
    assert columns["method_criterion"] == "set"
    assert columns["method_mest_lambda"] == 1.0
    assert columns["data_image_size"] is None
    assert (columns["study"], columns["seed"]) == ("dst-sweep", 1)
    assert all(isinstance(value, str | int | float | bool | None) for value in columns.values())
    assert parse_run(adapters(placement="explicit", edges=[[2, 1]])).flat()["method_edges"] == "[[2,1]]"


def test_a_run_is_frozen_and_hashable():
    run = parse_run(SPARSE)
    assert {run: 1}[parse_run(SPARSE)] == 1
    with pytest.raises(ValueError, match="frozen"):
        run.seed = 2


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("optimizer.lr", "1e-3"),
        ("optimizer.lr", True),
        ("optimizer.lr", 0),
        ("optimizer.lr", -0.1),
        ("optimizer.lr", float("nan")),
        ("optimizer.lr", float("inf")),
        ("optimizer.momentum", 1.0),
        ("optimizer.nesterov", 1),
        ("optimizer.weight_decay", -1e-9),
        ("training.batch_size", 64.0),
        ("training.batch_size", True),
        ("training.batch_size", "64"),
        ("training.batch_size", 0),
        ("training.duration", 20),
        ("training.duration", "0 epochs"),
        ("training.evaluate_every", "0 steps"),
        ("training.label_smoothing", 1.0),
        ("training.precision", "float16"),
        ("network.widths", []),
        ("network.widths", [8, 0]),
        ("network.widths", [8, 1.5]),
        ("network.widths", 8),
        ("network.dropout", 1.0),
        ("data.name", 3),
        ("data.image_size", 0),
        ("data.fit", "test"),
        ("method.density", 0),
        ("method.density", 1.01),
        ("method.density", -0.5),
        ("method.update_period", 0),
        ("method.drop_fraction", 0),
        ("method.update_stop", 1.5),
        ("method.state", "sparse"),
        ("seed", -1),
        ("seed", True),
        ("seed", 2**63),
        ("method.update_period", 2**63),
    ],
)
def test_a_bad_value_is_refused_at_its_key(key, bad):
    table, _, field = key.partition(".")
    settings = SPARSE | {"method": DST}
    changed = {**settings[table], field: bad} if field else bad
    (where,) = refusal(settings | {table: changed})
    assert where.split("[")[0] == key


@pytest.mark.parametrize(
    ("schedule", "refused"),
    [
        ({"name": "step", "milestones": [0.75, 0.5]}, "schedule.milestones"),
        ({"name": "step", "milestones": [0.5, 0.5]}, "schedule.milestones"),
        ({"name": "step", "milestones": []}, "schedule.milestones"),
        ({"name": "step", "milestones": [0.5, 1.5]}, "schedule.milestones[1]"),
        ({"name": "cosine", "final_fraction": -0.1}, "schedule.final_fraction"),
        ({"name": "cosine", "warmup": "soon"}, "schedule.warmup"),
        ({"warmup": "1 epoch"}, "schedule.name"),
    ],
)
def test_a_bad_schedule_is_refused(schedule, refused):
    assert list(refusal(SPARSE | {"schedule": schedule})) == [refused]


def test_nesterov_needs_momentum():
    assert refusal(SPARSE | {"optimizer": {"name": "sgd", "lr": 1, "momentum": 0}}) == {
        "optimizer.nesterov": "should be false when momentum is 0"
    }
    run = parse_run(SPARSE | {"optimizer": {"name": "sgd", "lr": 1, "momentum": 0, "nesterov": False}})
    assert run.optimizer.momentum == 0


@pytest.mark.parametrize(
    "method",
    [
        {"placement": "explicit", "edges": [[8, 2], [3, 4]]},
        {"placement": "all-parallel"},
        {"placement": "all-sequential", "rank": 4, "activation": "gelu"},
        {"placement": "random", "count": 4, "edge_kind": "long-range", "draw": 3},
        {"placement": "first-k", "count": 1},
        {"placement": "last-k", "count": 1, "scale": -0.5},
        {"placement": "one-added-later", "count": 3, "edges": [[0, 1]]},
    ],
    ids=lambda method: method["placement"],
)
def test_a_placement_takes_its_own_settings(method):
    assert parse_run(adapters(**method)).method.placement == method["placement"]


@pytest.mark.parametrize(
    ("method", "refused"),
    [
        ({"placement": "explicit"}, {"edges"}),
        ({"placement": "explicit", "edges": [[0, 1]], "count": 1}, {"count"}),
        ({"placement": "explicit", "edges": [[0, 1]], "draw": 1, "edge_kind": "parallel"}, {"draw", "edge_kind"}),
        ({"placement": "random"}, {"count"}),
        ({"placement": "random", "count": 2, "edges": [[0, 1]]}, {"edges"}),
        ({"placement": "first-k"}, {"count"}),
        ({"placement": "last-k", "count": 2, "draw": 1}, {"draw"}),
        ({"placement": "all-parallel", "count": 2}, {"count"}),
    ],
)
def test_a_placement_refuses_what_it_lacks_or_does_not_take(method, refused):
    found = refusal(adapters(**method))
    assert set(found) == {f"method.{name}" for name in refused}
    assert all(method["placement"] in message for message in found.values())


@pytest.mark.parametrize("edges", [[[0]], [[0, 1, 2]], [[0, -1]], [["0", 1]], [[0, 1], [0, 1]], [0, 1], "0-1"])
def test_edges_are_distinct_pairs_of_nodes(edges):
    (where,) = {where.split("[")[0] for where in refusal(adapters(placement="explicit", edges=edges))}
    assert where == "method.edges"


def test_scale_zero_is_refused_with_the_reason():
    (message,) = refusal(adapters(placement="all-parallel", scale=0)).values()
    assert "frozen for ever" in message


def test_all_problems_of_a_run_come_at_once():
    found = refusal({"study": "dst-sweep", "data": {}, "network": 3, "method": {}, "optimizer": {"name": "sgd"}})
    assert found == {
        "data.name": "is required",
        "network": "should be a table",
        "method.kind": "is required",
        "optimizer.lr": "is required",
        "training": "is required",
        "seed": "is required",
    }


@pytest.mark.parametrize("study", [None, 3, ["dst-sweep"], "dst-swep"])
def test_an_unknown_study_is_refused(study):
    with pytest.raises(UserError, match="unknown study"):
        parse_run(SPARSE | {"study": study})


def test_names_are_checked_against_the_vocabularies_given():
    names = {"datasets": ["digits", "folder:"], "networks": ["lenet5"]}
    assert parse_run(SPARSE, {"networks": ["mlp"]})
    assert parse_run(SPARSE | {"data": {"name": "folder:pets"}}, names | {"networks": ["mlp"]})
    with pytest.raises(UserError) as caught:
        parse_run(SPARSE | {"data": {"name": "digts"}}, names)
    data, network = caught.value.problems
    assert (data.where, data.value, data.nearest, data.valid) == (
        "data.name",
        '"digts"',
        "digits",
        ("digits", "folder:"),
    )
    assert (network.where, network.valid) == ("network.name", ("lenet5",))


@pytest.mark.parametrize("study", RUN_TYPES)
def test_the_tables_of_several_kinds_are_told_by_their_tags(study):
    found = {name: field.discriminator for name, field in RUN_TYPES[study].model_fields.items() if field.discriminator}
    assert found == TAGS


def test_the_fields_of_a_table_depend_on_its_kind():
    assert fields_of("dst-sweep", "method", "static") == ("kind", "density", "distribution")
    assert fields_of("dst-sweep", "method", "adapters") is None
    assert fields_of("dst-sweep", "method", ["static"]) is None
    assert fields_of("dst-sweep", "backbone") is None
    assert fields_of("adapter-search", "backbone") == ("name", "pretrained", "image_size", "frozen_precision")
    assert {"method.rank", "optimizer.beta1", "seed"} < set(keys_of("adapter-search"))


def test_settings_that_a_stored_row_lacks_read_as_what_its_run_was_made_with():
    old = {"study": "adapter-search", "method_kind": "linear-probe", "backbone_name": "vit-micro"}
    shared = {
        "data_image_fit": "resize",
        "data_background": "white",
        "data_val_fraction": 0.1,
        "data_test_fraction": 0.2,
        "training_select_by": "accuracy",
    }
    assert neutral_columns(old) == {**shared, "backbone_frozen_precision": "float32"}
    unknown = old | {"backbone_frozen_precision": None}
    assert neutral_columns(unknown) == {**shared, "backbone_frozen_precision": "float32"}
    assert neutral_columns(old | {"backbone_frozen_precision": "bf16"}) == shared
    assert neutral_columns({"study": "dst-sweep", "method_kind": "dense"}) == shared
    assert neutral_columns({"study": "dst-sweep", "method_kind": "dense"} | shared) == {}


@pytest.mark.parametrize(("text", "spelling"), [("white", "white"), ("#FFFFFF", "white"), ("#0A141E", "#0a141e")])
def test_a_colour_has_one_spelling(text, spelling):
    data = Data.model_validate({"name": "digits", "background": text})
    assert data.background == spelling


@pytest.mark.parametrize("bad", [{"background": "red"}, {"background": "#fff"}, {"val_fraction": 0.0},
                                 {"test_fraction": 1.0}, {"image_fit": "stretch"}])  # fmt: skip
def test_data_settings_are_bounded(bad):
    with pytest.raises(ValidationError):
        Data.model_validate({"name": "digits", **bad})


class Lenient(GenerateJsonSchema):
    """Durations have no JSON schema."""

    def handle_invalid_for_json_schema(self, schema, error_info):
        return {}


@pytest.mark.parametrize("study", RUN_TYPES)
def test_every_whole_number_fits_a_column_of_the_tables(study):
    def bounds(schema):
        if isinstance(schema, list):
            return [bound for each in schema for bound in bounds(each)]
        if not isinstance(schema, dict):
            return []
        own = [schema.get("exclusiveMaximum")] if schema.get("type") == "integer" else []
        return own + [bound for each in schema.values() for bound in bounds(each)]

    found = bounds(RUN_TYPES[study].model_json_schema(schema_generator=Lenient))
    assert len(found) > 5
    assert set(found) == {2**63}


def test_the_columns_of_settings_have_one_type_each():
    for study, run_type in RUN_TYPES.items():
        types = setting_types(study)
        assert list(types)[-1] == "seed"
        assert {f"{key}".replace(".", "_") for key in keys_of(study)} == set(types)
        assert run_type.model_fields.keys() - {"study", "seed"} == {name.partition("_")[0] for name in types} - {"seed"}
    assert setting_types("dst-sweep")["network_widths"] is list
    assert setting_types("dst-sweep")["optimizer_lr"] is float
    assert setting_types("dst-sweep")["method_update_last_step"] is bool
    assert setting_types("dst-sweep")["training_duration"] is str
    assert setting_types("adapter-search")["data_image_size"] is int
