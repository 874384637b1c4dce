"""Which runs there are: strict types, ranges, and settings that must fit each other."""

from typing import Annotated, get_args, get_origin

import pytest
from pydantic import PlainValidator, ValidationError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from petlsparse.errors import UserError
from petlsparse.networks import NETWORKS
from petlsparse.recipe import AdapterRun, Duration, SparseRun, parse_run
from petlsparse.recipe.schema import (
    RUN_TYPES,
    TAGS,
    Data,
    _models_of,
    _neutral,
    fields_of,
    keys_of,
    models_of,
    neutral_columns,
    setting_types,
    tables_of,
)
from petlsparse.settings import HashNeutral

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
MEST = DST | {"criterion": {"name": "mest", "lambda": 0.5}}


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
    assert columns["data_train_on"] == "train"
    assert columns["data_image_size"] is None
    assert (columns["study"], columns["seed"]) == ("dst-sweep", 1)
    assert all(isinstance(value, str | int | float | bool | None) for value in columns.values())
    columns = parse_run(SPARSE | {"method": MEST}).flat()
    assert (columns["method_criterion"], columns["method_criterion_lambda"]) == ("mest", 0.5)
    columns = parse_run(adapters(placement={"name": "explicit", "edges": [[2, 1]]})).flat()
    assert (columns["method_placement"], columns["method_placement_edges"]) == ("explicit", "[[2,1]]")


def test_a_function_without_settings_is_written_as_its_name():
    short, long = DST, DST | {"criterion": {"name": "set"}, "growth": {"name": "random"}}
    assert parse_run(SPARSE | {"method": short}) == parse_run(SPARSE | {"method": long, "network": "mlp"})
    run = parse_run(SPARSE | {"method": DST | {"criterion": "mest"}})
    assert run.method.criterion.arguments() == {"lambda_": 1.0}
    assert parse_run(run.settings()) == run


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
        ("data.train_on", "test"),
        ("method.density", 0),
        ("method.density", 1.01),
        ("method.density", -0.5),
        ("method.update_period", 0),
        ("method.drop_fraction", 0),
        ("method.update_stop", 1.5),
        ("method.optimizer_state", "sparse"),
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
    "placement",
    [
        {"name": "explicit", "edges": [[8, 2], [3, 4]]},
        {"name": "all-parallel"},
        {"name": "all-sequential"},
        {"name": "random", "count": 4, "edge_kind": "long-range", "seed": 3},
        {"name": "first-k", "count": 1},
        {"name": "last-k", "count": 1},
    ],
    ids=lambda placement: placement["name"],
)
def test_a_placement_takes_its_own_settings(placement):
    found = parse_run(adapters(placement=placement, scale=-0.5)).method.placement
    assert {name: value for name, value in placement.items() if name not in ("name", "edges")}.items() <= {
        **found.arguments(), "seed": getattr(found, "seed", None),
    }.items()  # fmt: skip
    assert found.name == placement["name"]


@pytest.mark.parametrize(
    ("placement", "refused"),
    [
        ("explicit", {"edges": "is required"}),
        ({"name": "explicit", "edges": [[0, 1]], "count": 1}, {"count": 'unknown key "count"'}),
        ({"name": "explicit", "edges": [[0, 1]], "seed": 1, "edge_kind": "parallel"},
         {"seed": 'unknown key "seed"', "edge_kind": 'unknown key "edge_kind"'}),
        ("random", {"count": "is required"}),
        ({"name": "random", "count": 2, "edges": [[0, 1]]}, {"edges": 'unknown key "edges"'}),
        ({"name": "random", "count": 2, "edge_kind": "backward"}, {"edge_kind": "unknown value"}),
        ({"name": "random", "count": 0}, {"count": "should be greater than or equal to 1"}),
        ("first-k", {"count": "is required"}),
        ({"name": "last-k", "count": 2, "seed": 1}, {"seed": 'unknown key "seed"'}),
        ({"name": "all-parallel", "count": 2}, {"count": 'unknown key "count"'}),
        ("all-paralel", {"": "unknown name"}),
        ({"count": 2}, {"": "is required", "count": 'unknown key "count"'}),
        (["random"], {"": "should be a name or a table"}),
    ],
    ids=str,
)  # fmt: skip
def test_a_placement_refuses_what_it_lacks_or_does_not_take(placement, refused):
    found = refusal(adapters(placement=placement))
    assert found == {f"method.placement.{name}".removesuffix("."): message for name, message in refused.items()}


@pytest.mark.parametrize("edges", [[[0]], [[0, 1, 2]], [[0, -1]], [["0", 1]], [[0, 1], [0, 1]], [0, 1], "0-1"])
def test_edges_are_distinct_pairs_of_nodes(edges):
    found = refusal(adapters(placement={"name": "explicit", "edges": edges}))
    assert {where.split("[")[0] for where in found} == {"method.placement.edges"}


def test_scale_zero_is_refused_with_the_reason():
    (message,) = refusal(adapters(placement="all-parallel", scale=0)).values()
    assert "no gradient would ever reach it" in message


def test_all_problems_of_a_run_come_at_once():
    found = refusal({"study": "dst-sweep", "data": {}, "network": 3, "method": {}, "optimizer": {"name": "sgd"}})
    assert found == {
        "data.name": "is required",
        "network": "should be a name or a table",
        "method.kind": "is required",
        "optimizer.lr": "is required",
        "training": "is required",
        "seed": "is required",
    }


@pytest.mark.parametrize("study", [None, 3, ["dst-sweep"], "dst-swep"])
def test_an_unknown_study_is_refused(study):
    with pytest.raises(UserError, match="unknown study"):
        parse_run(SPARSE | {"study": study})


def test_names_are_those_of_the_registries():
    assert parse_run(SPARSE | {"data": {"name": "folder:pets"}})
    with pytest.raises(UserError) as caught:
        parse_run(SPARSE | {"data": {"name": "digts"}, "network": {"name": "lenet"}})
    data, network = caught.value.problems
    assert (data.where, data.value, data.nearest) == ("data.name", '"digts"', "digits")
    assert "folder:" in data.valid
    assert (network.where, network.nearest, network.valid) == ("network.name", "lenet5", tuple(NETWORKS))


def is_a_choice(field: FieldInfo) -> bool:
    """Whether it is a function with its settings, also where it may be none."""
    optional = (mark for part in get_args(field.annotation) for mark in getattr(part, "__metadata__", ()))
    return any(isinstance(mark, PlainValidator) for mark in [*field.metadata, *optional]) and (
        get_origin(field.annotation) is not tuple
    )


@pytest.mark.parametrize("study", RUN_TYPES)
def test_the_tables_of_several_kinds_are_told_by_their_tags(study):
    fields = RUN_TYPES[study].model_fields
    found = {name: field.discriminator for name, field in fields.items() if field.discriminator}
    inner = [each for model in models_of(study, "method") for each in model.model_fields.items()]
    functions = [*fields.items(), *((f"method.{name}", field) for name, field in inner)]
    found |= {name: "name" for name, field in functions if is_a_choice(field)}
    assert found == {table: tag for table, tag in TAGS.items() if table in tables_of(study)}


def test_the_fields_of_a_table_depend_on_its_kind():
    assert fields_of("dst-sweep", "method", "static") == ("kind", "density", "distribution")
    assert fields_of("dst-sweep", "method", "adapters") is None
    assert fields_of("dst-sweep", "method", ["static"]) is None
    assert fields_of("dst-sweep", "backbone") is None
    backbone = ("name", "pretrained", "image_size", "frozen_precision", "mean", "std")
    assert fields_of("adapter-search", "backbone") == backbone
    assert {"method.rank", "optimizer.beta1", "seed"} < set(keys_of("adapter-search"))


def test_settings_that_a_stored_row_lacks_read_as_what_its_run_was_made_with(monkeypatch):
    def score(active, *, power: Annotated[float, HashNeutral(2.0)] = 1.0):
        """A score with a setting that was added later."""

    class Later(Data):
        blur: Annotated[float, HashNeutral(0.0)] = 0.5

    monkeypatch.setitem(SparseRun.model_fields, "data", FieldInfo(annotation=Later))
    monkeypatch.setattr("petlsparse.sparsity.criteria.magnitude", score)
    _neutral.cache_clear()
    _models_of.cache_clear()
    old = {"study": "dst-sweep", "method_kind": "dst", "method_criterion": "magnitude"}
    old |= {name: "" for name in neutral_columns(old | {"method_criterion": "set"}) if name != "data_blur"}
    assert neutral_columns(old) == {"data_blur": 0.0, "method_criterion_power": 2.0}
    assert neutral_columns(old | {"data_blur": None, "method_criterion_power": 3.0}) == {"data_blur": 0.0}
    assert neutral_columns(old | {"data_blur": 0.25, "method_criterion": "set"}) == {}
    _neutral.cache_clear()
    _models_of.cache_clear()


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
    assert len(found) >= 5
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
