"""LoRA as a method of adapter-search: stopped and resumed, counted, kept, refused where it makes no sense."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from petlsparse.backbones import load_backbone
from petlsparse.cohorts.keys import cohort_key
from petlsparse.data.loading import load_data
from petlsparse.errors import UserError
from petlsparse.recipe.execution import INSPECT_ONLY, Execution
from petlsparse.recipe.schema import Run
from petlsparse.studies import adapter_search, check_runs, describe
from petlsparse.studies.optimizers import build_optimizer
from petlsparse.training.loaders import Images
from tests.studies.settings import ADAPTED, execute, lasting, make

LORA: dict[str, Any] = {"kind": "lora", "targets": ["qkv", "fc1"], "rank": 4, "alpha": 8.0, "dropout": 0.2}
# vit-micro: six blocks of width 96, an MLP of 384; ten digits on images of 16 pixels, four patches and a class token.
A_AND_B = 6 * (4 * (96 + 3 * 96) + 4 * (96 + 384))
HEAD = 10 * (96 + 1)


def run(**changes: Any) -> Run:
    return make(ADAPTED, method={**LORA, **changes})


def test_a_stopped_run_ends_where_a_whole_one_does_to_the_bit(tmp_path: Path) -> None:
    whole = execute(run(), tmp_path / "whole", keep="both")
    calls = iter([False] * 4 + [True])
    assert execute(run(), tmp_path / "cut", keep="both", stop=lambda: next(calls)).status == "interrupted"
    assert lasting(execute(run(), tmp_path / "cut", keep="both")) == lasting(whole)
    for which in ("best", "last"):
        ours, theirs = (load_file(tmp_path / folder / f"{which}.safetensors") for folder in ("cut", "whole"))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert all(tensor.any() for name, tensor in ours.items() if ".lora_B." in name)
    dropped = {name: value for name, value in lasting(whole)["metrics"].items() if "loss" in name}
    kept = lasting(execute(run(dropout=0.0), tmp_path / "kept"))["metrics"]
    assert dropped != {name: kept[name] for name in dropped}


def test_its_cost_is_that_of_a_hand_count() -> None:
    cost, probe = describe(run()).cost, describe(make(ADAPTED, method={"kind": "linear-probe"})).cost
    assert cost["trainable_parameters"] == A_AND_B + HEAD
    assert cost["total_parameters"] == cost["active_parameters"] == probe["total_parameters"] + A_AND_B
    # Each of the matrices is used once for each of the five tokens, in the last MLP for the class token alone.
    products = 2 * 5 * A_AND_B - 2 * 4 * 4 * (96 + 384)
    assert cost["inference_flops"] == probe["inference_flops"] + products


def test_kept_weights_are_a_peft_adapter_of_the_backbone(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

    result = execute(run(ranks=[["blocks.1.attn.qkv", 2], ["fc1", 7]]), tmp_path, keep="last")
    stream = load_backbone("vit-micro", pretrained=False, image_size=16, generator=torch.Generator())
    vit = stream.model
    vit.load_state_dict(_backbone_of(run()))
    vit.reset_classifier(10)
    model = get_peft_model(vit, LoraConfig.from_pretrained(tmp_path)).eval()
    set_peft_model_state_dict(model, load_file(tmp_path / "last.safetensors"))
    data = load_data("digits", image_size=16, channels=3, train_examples=100).test()
    with torch.no_grad():
        logits = model(Images(data, stream.mean, stream.std).batch(slice(None)))
    accuracy = 100 * (logits.argmax(1) == data.labels).float().mean().item()
    assert accuracy == pytest.approx(result.metrics["test_accuracy_last"])
    assert accuracy > 12  # ten classes


def _backbone_of(run: Run) -> dict[str, torch.Tensor]:
    from petlsparse.training.seeding import random_stream

    return dict(
        load_backbone(
            "vit-micro", pretrained=False, image_size=16, generator=random_stream(run.seed, "init")
        ).model.state_dict()
    )


def test_it_is_trained_alone_and_on_images(tmp_path: Path) -> None:
    for device in ("cpu", "cuda"):
        assert cohort_key(run(), device, Execution(cohort=4)) is None
    execution = replace(INSPECT_ONLY, cache_memory=2**30, cache_folder=tmp_path / "cache")
    result = execute(run(), tmp_path / "run", execution=execution)
    assert result.provenance_extra["frozen_values"] == "none: lora changes the backbone"
    assert result.rows.get("edges") is None


def test_the_head_may_have_its_own_learning_rate() -> None:
    own = make(ADAPTED, method=LORA, optimizer={"name": "adamw", "lr": 3e-3, "head_lr": 0.1})
    optimizer = build_optimizer(own, adapter_search.assemble(own, torch.device("cpu"), INSPECT_ONLY))
    sizes = {group["lr"]: sum(p.numel() for p in group["params"]) for group in optimizer.param_groups}
    assert sizes == {3e-3: A_AND_B, 0.1: HEAD}


def test_what_the_backbone_does_not_have_is_told_before_training() -> None:
    fitting, wrong = run(), run(targets=["qkv", "q_proj"])
    problems = check_runs({"a": fitting, "b": wrong}).problems
    assert not problems["a"]
    assert [(problem.where, problem.nearest) for problem in problems["b"]] == [("method.targets", "proj")]


def test_frozen_values_that_it_has_none_of_cannot_be_rounded() -> None:
    rounded = {"backbone": {**ADAPTED["backbone"], "frozen_precision": "bf16"}}
    adapters, lora = make(ADAPTED, **rounded), make(ADAPTED, method=LORA, **rounded)
    problems = check_runs({"a": adapters, "b": lora}).problems
    assert not problems["a"]
    assert [problem.where for problem in problems["b"]] == ["backbone.frozen_precision"]
    with pytest.raises(UserError, match="only float32"):
        describe(lora)


def test_it_trains_in_bf16(tmp_path: Path) -> None:
    training = {**ADAPTED["training"], "precision": "bf16"}
    assert execute(make(ADAPTED, method=LORA, training=training), tmp_path).status == "done"


@pytest.mark.parametrize(
    ("wrong", "where"),
    [({"targets": []}, "targets"), ({"targets": ["qkv", "qkv"]}, "targets"), ({"alpha": 0.0}, "alpha")],
)
def test_settings_without_meaning_are_refused(wrong: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=where):
        run(**wrong)


def test_the_order_of_targets_makes_no_other_run() -> None:
    assert run(targets=["fc1", "qkv"]).run_id == run().run_id
