"""The run id is a contract with every stored result: these hashes must never change."""

import hashlib
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from petlsparse.recipe import parse_run
from petlsparse.recipe.identity import RUN_ID_PATTERN, canonical_json, run_id
from petlsparse.settings import HashNeutral, SettingsTable

DENSE = {
    "study": "dst-sweep",
    "data": {"name": "digits"},
    "network": {"name": "mlp"},
    "method": {"kind": "dense"},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "training": {"duration": "2 epochs"},
    "seed": 1,
}
DST = DENSE | {
    "method": {"kind": "dst", "density": 0.05, "criterion": "magnitude", "growth": "random"},
    "optimizer": {"name": "adamw", "lr": 1e-3},
    "schedule": {"name": "step"},
}
PROBE = {
    "study": "adapter-search",
    "data": {"name": "sprites-location"},
    "method": {"kind": "linear-probe"},
    "optimizer": {"name": "adam", "lr": 1e-3},
    "schedule": {"name": "cosine", "warmup": "1 epoch"},
    "training": {"duration": "500 steps"},
    "seed": 7,
}
EDGES = PROBE | {"method": {"kind": "adapters", "placement": {"name": "explicit", "edges": [[8, 2], [3, 4]]}}}
FINETUNING = PROBE | {"method": {"kind": "full-finetuning"}}
STATIC = DENSE | {"method": {"kind": "static", "density": 0.1}}


@pytest.mark.parametrize(
    ("settings", "golden"),
    [
        (DENSE, "234c0c37fc9a"),
        (STATIC, "9ba024d65330"),
        (DST, "fb756debd4d8"),
        (PROBE, "354794928fca"),
        (FINETUNING, "e53e14fb8b86"),
        (EDGES, "476cb7caab70"),
    ],
    ids=["dense", "static", "dst", "linear-probe", "full-finetuning", "adapters"],
)
def test_run_ids_never_change(settings, golden):
    assert parse_run(settings).run_id == golden


def test_a_run_id_is_the_hash_of_all_resolved_settings_written_out():
    written_out = (
        '{"data":{"augment":"none","background":"white","image_fit":"resize","image_size":null,"name":"digits",'
        '"test_fraction":0.2,"train_examples":null,"train_on":"train","val_fraction":0.1},'
        '"method":{"kind":"dense"},'
        '"network":{"dropout":0.0,"name":"mlp","widths":[1024,512]},'
        '"optimizer":{"lr":0.1,"momentum":0.9,"name":"sgd","nesterov":true,"weight_decay":0.0},'
        '"schedule":{"name":"constant","warmup":"0 steps"},'
        '"schema":2,"seed":1,"study":"dst-sweep",'
        '"training":{"batch_size":64,"deterministic":true,"duration":"2 epochs","evaluate_every":"1 epoch",'
        '"label_smoothing":0.0,"precision":"float32"}}'
    )
    assert parse_run(DENSE).run_id == hashlib.sha256(written_out.encode("ascii")).hexdigest()[:12]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"optimizer": {"name": "sgd", "lr": 1}}, {"optimizer": {"name": "sgd", "lr": 1.0}}),
        (
            {"optimizer": {"name": "sgd", "lr": 1, "weight_decay": -0.0}},
            {"optimizer": {"name": "sgd", "lr": 1, "weight_decay": 0}},
        ),
        ({"training": {"duration": "1 epoch"}}, {"training": {"duration": "1 epochs"}}),
        ({}, {"training": {"duration": "2 epochs", "batch_size": 64}}),
        ({"method": {"kind": "static", "density": 0.1}}, {"method": {"density": 1e-1, "kind": "static"}}),
    ],
    ids=["whole float", "negative zero", "plural", "default said aloud", "order of keys"],
)
def test_two_ways_to_say_the_same_are_one_run(one, other):
    assert parse_run(DENSE | one).run_id == parse_run(DENSE | other).run_id


def test_the_order_of_edges_is_no_difference():
    reordered = {"kind": "adapters", "placement": {"name": "explicit", "edges": [[3, 4], [8, 2]]}}
    assert parse_run(EDGES | {"method": reordered}).run_id == parse_run(EDGES).run_id


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"optimizer": {"name": "sgd", "lr": 0.1000001}},
        {"optimizer": {"name": "sgd", "lr": 0.1, "nesterov": False}},
        {"data": {"name": "digits", "train_on": "train+val"}},
        {"network": {"name": "mlp", "widths": [64]}},
        {"training": {"duration": "2 steps"}},
    ],
    ids=str,
)
def test_every_setting_makes_another_run(change):
    assert parse_run(DENSE | change).run_id != parse_run(DENSE).run_id


def test_rounding_frozen_values_makes_another_run():
    plain, rounded = ({"backbone": {"frozen_precision": precision}} for precision in ("float32", "bf16"))
    assert parse_run(EDGES | plain).run_id == parse_run(EDGES).run_id == "476cb7caab70"
    assert parse_run(EDGES | rounded).run_id != parse_run(EDGES).run_id


def test_every_precision_is_another_run():
    precisions = ("float32", "tf32", "bf16")
    ids = [parse_run(DENSE | {"training": {"duration": "2 epochs", "precision": name}}).run_id for name in precisions]
    assert ids[0] == parse_run(DENSE).run_id
    assert len(set(ids)) == 3


def test_a_copy_with_another_seed_has_its_own_id():
    run = parse_run(DENSE)
    assert run.run_id != run.model_copy(update={"seed": 2}).run_id == parse_run(DENSE | {"seed": 2}).run_id


class Inner(SettingsTable):
    width: int = 3


class Before(SettingsTable):
    lr: float = 0.1
    inner: Inner = Inner()


class LaterInner(SettingsTable):
    width: int = 3
    gain: Annotated[float, HashNeutral(1.0)] = 2.0


class Later(SettingsTable):
    lr: float = 0.1
    clip: Annotated[float | None, HashNeutral(None)] = 5.0
    inner: LaterInner = LaterInner()


def test_a_field_added_later_leaves_the_ids_of_its_neutral_value_alone():
    assert run_id(Later(clip=None, inner=LaterInner(gain=1))) == run_id(Before())


@pytest.mark.parametrize("later", [Later(), Later(clip=None), Later(inner=LaterInner(gain=1.0))], ids=str)
def test_a_field_added_later_counts_when_it_is_not_neutral_even_as_the_default(later):
    assert run_id(later) != run_id(Before())


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=5), st.randoms())
def test_canonical_json_does_not_depend_on_the_order_of_keys(table, random):
    keys = list(table)
    random.shuffle(keys)
    assert canonical_json({key: table[key] for key in keys}) == canonical_json(table)
    assert canonical_json(table).isascii()


@pytest.mark.parametrize("settings", [DENSE, STATIC, DST, PROBE, FINETUNING, EDGES])
def test_a_run_with_another_seed_has_the_id_of_that_run(settings):
    run = parse_run(settings)
    assert run.run_id == run_id(run)  # once it is known
    seeds = [0, 1, 7, 2**63 - 1]
    fresh = [parse_run(settings | {"seed": seed}) for seed in seeds]
    again = list(run.with_seeds(seeds))
    assert again == fresh
    assert [each.run_id for each in again] == [run_id(each) for each in fresh]
    assert [run.model_copy(update={"seed": seed}).run_id for seed in seeds] == [each.run_id for each in again]
    assert all(RUN_ID_PATTERN.fullmatch(each.run_id) for each in again)
