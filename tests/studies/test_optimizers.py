"""Settings of parameter groups, from recipe to optimizer: by names against timm's, through every way of training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import nn

from petlsparse.backbones.timm_streams import as_stream
from petlsparse.errors import UserError
from petlsparse.recipe.execution import INSPECT_ONLY, Execution
from petlsparse.recipe.schema import Run
from petlsparse.studies import adapter_search, check_runs, dst_sweep
from petlsparse.studies.optimizers import build_optimizer
from petlsparse.training.parameter_groups import parameter_groups, roles
from tests.studies.settings import ADAPTED, SPARSE, execute, lasting, make

CPU = torch.device("cpu")
FULL = {"kind": "full-finetuning"}
ADAMW = {"name": "adamw", "lr": 1e-3, "weight_decay": 0.1}


@pytest.mark.parametrize(
    "name",
    ["vit_tiny_patch16_224", "vit_base_patch16_reg4_gap_256", "eva02_tiny_patch14_224", "vit_small_patch16_dinov3"],
)
def test_layer_decay_and_weight_decay_are_those_of_timm_by_name(name: str) -> None:
    options = {"depth": 3, "embed_dim": 48, "num_heads": 3, "img_size": 32} | (
        {"dynamic_img_size": False} if name.startswith("eva") or "dino" in name else {}
    )
    whole = timm.create_model(name, num_classes=5, **options)
    names = {parameter: key for key, parameter in whole.named_parameters()}
    theirs = {
        names[parameter]: (2e-3 * group["lr_scale"], group["weight_decay"])
        for group in param_groups_layer_decay(whole, weight_decay=0.1, layer_decay=0.7)
        for parameter in group["params"]
    }
    head = set(whole.get_classifier().parameters())
    stream = as_stream(whole, (0.5,) * 3, (0.5,) * 3).requires_grad_(True)
    of = roles([*stream.parameters(), *head], head=head, above=stream.layers_above())
    ours = {
        names[parameter]: (group["lr"], group["weight_decay"])
        for group in parameter_groups(of, lr=2e-3, weight_decay=0.1, layer_decay=0.7, decay_norms_and_biases=False)
        for parameter in group["params"]
    }
    assert ours.keys() == theirs.keys()
    for key, values in theirs.items():
        assert ours[key] == pytest.approx(values), key
    assert sorted({lr for lr, _ in ours.values()}) == pytest.approx([2e-3 * 0.7**i for i in (4, 3, 2, 1, 0)])
    decayed = {key for key, (_, decay) in ours.items() if decay}
    filtered = param_groups_weight_decay(whole, weight_decay=0.1)
    assert decayed - {names[p] for p in head} == {names[p] for g in filtered if g["weight_decay"] for p in g["params"]}


def by_name(run: Run, model_of: Any) -> dict[str, tuple[float, float]]:
    assembly = model_of.assemble(run, CPU, INSPECT_ONLY)
    names = {parameter: name for name, parameter in assembly.method.model.named_parameters()}
    optimizer = build_optimizer(run, assembly)
    return {
        names[parameter]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_head_and_layers_of_a_run_have_their_own_rates() -> None:
    optimizer = ADAMW | {"head_lr": 0.01, "layer_decay": 0.5, "decay_norms_and_biases": False}
    found = by_name(make(ADAPTED, method=FULL, optimizer=optimizer), adapter_search)
    assert found["head.weight"] == (0.01, 0.1)
    assert found["head.bias"] == (0.01, 0.0)
    blocks = 1 + max(int(match[1]) for name in found if (match := re.search(r"blocks\.(\d+)", name)))
    assert found[f"stream.vit.blocks.{blocks - 1}.mlp.fc1.weight"] == (5e-4, 0.1)
    assert found["stream.vit.blocks.0.norm1.weight"] == (pytest.approx(1e-3 * 0.5**blocks), 0.0)
    assert found["stream.vit.patch_embed.proj.weight"] == (pytest.approx(1e-3 * 0.5 ** (blocks + 1)), 0.1)


def test_the_head_of_adapters_has_its_own_rate_and_their_norms_no_decay() -> None:
    optimizer = ADAMW | {"head_lr": 0.01, "decay_norms_and_biases": False}
    found = by_name(make(ADAPTED, optimizer=optimizer), adapter_search)
    assert {name: of for name, of in found.items() if name.startswith("head")} == {
        "head.weight": (0.01, 0.1), "head.bias": (0.01, 0.0),
    }  # fmt: skip
    assert {name.rpartition("->")[2].partition(".")[2]: of for name, of in found.items() if "->" in name} == {
        "alpha": (1e-3, 0.0), "norm.weight": (1e-3, 0.0), "norm.bias": (1e-3, 0.0),
        "down.weight": (1e-3, 0.1), "up.weight": (1e-3, 0.1),
    }  # fmt: skip


def test_without_these_settings_there_is_one_group_in_the_order_of_the_model() -> None:
    for run, study in ((make(ADAPTED, method=FULL), adapter_search), (make(SPARSE), dst_sweep)):
        assembly = study.assemble(run, CPU, INSPECT_ONLY)
        (group,) = build_optimizer(run, assembly).param_groups
        assert [*map(id, group["params"])] == [*map(id, assembly.method.parameters())]


SPARSE_DECAY = {"name": "sgd", "lr": 0.05, "weight_decay": 0.05, "decay_norms_and_biases": False}


@pytest.mark.parametrize(
    "optimizer", [SPARSE_DECAY, SPARSE_DECAY | {"name": "adamw", "lr": 0.01}], ids=["sgd", "adamw"]
)
def test_weights_decay_alike_however_they_are_held_and_biases_do_not(optimizer: dict[str, Any], tmp_path: Path) -> None:
    run = make(SPARSE, optimizer=optimizer, training={"batch_size": 64, "duration": "20 steps"})
    csr = execute(run, tmp_path / "csr", execution=Execution(backend="csr"))
    masked = execute(run, tmp_path / "masked", execution=Execution(backend="masked"))
    cohort = execute(run, tmp_path / "cohort", execution=Execution(backend="masked", cohort=4))
    decaying = execute(make(SPARSE, optimizer={k: v for k, v in optimizer.items() if k != "decay_norms_and_biases"},
                            training=run.settings()["training"]), tmp_path / "all")  # fmt: skip
    expected = [row[4] for row in lasting(masked)["history"]]
    for other in (csr, cohort):
        assert [row[4] for row in lasting(other)["history"]] == pytest.approx(expected, rel=1e-4)
        assert lasting(other)["rows"] == lasting(masked)["rows"]
    assert [row[4] for row in lasting(decaying)["history"]] != pytest.approx(expected, rel=1e-4)
    assembly = dst_sweep.assemble(run, CPU, Execution(backend="csr"))
    found = by_name(run, dst_sweep) | {
        name: (0.0, float(assembly.roles[p].is_weight)) for name, p in assembly.method.model.named_parameters()
    }
    assert {name: bool(decay) for name, (_, decay) in found.items()} == {
        name: not name.endswith("bias") for name in found
    }


REFUSED: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], str, str]] = [
    (SPARSE, {}, {"head_lr": 0.1}, "optimizer.head_lr", "nothing is pre-trained"),
    (SPARSE, {}, {"layer_decay": 0.8}, "optimizer.layer_decay", "full-finetuning"),
    (ADAPTED, {"kind": "linear-probe"}, {"head_lr": 0.1}, "optimizer.head_lr", "only the head"),
    (ADAPTED, {}, {"layer_decay": 0.8}, "optimizer.layer_decay", "full-finetuning"),
    (ADAPTED, {}, {"decay_norms_and_biases": False, "weight_decay": 0.0}, "optimizer.decay_norms_and_biases", "weight"),
]


@pytest.mark.parametrize(("base", "method", "optimizer", "where", "why"), REFUSED, ids=lambda value: str(value)[:40])
def test_settings_of_groups_that_mean_nothing_are_refused_before_training(
    base: dict[str, Any], method: dict[str, Any], optimizer: dict[str, Any], where: str, why: str, tmp_path: Path
) -> None:
    run = make(base, method=method or base["method"], optimizer=base["optimizer"] | optimizer)
    (problem,) = check_runs({"run": run}).problems["run"]
    assert problem.where == where
    assert why in problem.message
    with pytest.raises(UserError, match=why):
        execute(run, tmp_path)


def test_batch_norms_and_their_biases_are_no_weights() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    found = {name: roles(network.parameters())[p].is_weight for name, p in network.named_parameters()}
    assert {name for name, weight in found.items() if weight} == {"0.weight", "2.weight"}
