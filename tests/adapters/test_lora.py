"""LoRA by peft: against W + (alpha / rank) B A by hand, in float64, and against peft's own way of loading it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from petlsparse.adapters.lora import LoraModel, target_layers
from petlsparse.backbones.stream import ResidualStream
from petlsparse.backbones.timm_streams import as_stream
from petlsparse.errors import UserError

from .test_eva import eva_stream
from .toys import CLASSES, WIDTH, generator, images, tiny_stream

RANK, ALPHA = 3, 4.5
ATTENTION = [f"blocks.{block}.attn.{layer}" for block in range(3) for layer in ("qkv", "proj")]


def lora(stream: ResidualStream | None = None, *targets: str, seed: int = 3, **options: Any) -> LoraModel:
    """Fresh, on a tiny stream, float64."""
    settings = {"rank": RANK, "alpha": ALPHA, "dropout": 0.0, "init": "kaiming", "head_generator": generator(4)}
    own = {"targets": targets or ("qkv", "proj"), "generator": generator(seed)}
    return LoraModel(stream or tiny_stream(), CLASSES, **{**settings, **own, **options}).double()


def stir(model: LoraModel) -> LoraModel:
    """No trained parameter at its initial value."""
    source = generator(5)
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.4, generator=source)
    return model


def products(model: LoraModel) -> dict[str, tuple[Tensor, Tensor]]:
    """Layer -> (A, B)."""
    tensors = model.to_peft_state_dict(dict(model.named_parameters()))
    layers = [name.removesuffix(".lora_A.weight") for name in tensors if name.endswith(".lora_A.weight")]
    return {
        layer.removeprefix("base_model.model."): (tensors[f"{layer}.lora_A.weight"], tensors[f"{layer}.lora_B.weight"])
        for layer in layers
    }


def test_a_fresh_model_is_the_frozen_network_to_the_bit() -> None:
    model = lora()
    assert torch.equal(model(images()), model.head(tiny_stream()(images())))


@pytest.mark.parametrize("targets", [("qkv",), ("qkv", "proj"), ("mlp.fc1", "fc2"), ("blocks.1.attn.qkv",)])
def test_the_forward_pass_is_that_of_weights_to_which_the_product_was_added(targets: tuple[str, ...]) -> None:
    model, by_hand = stir(lora(None, *targets)), tiny_stream()
    for layer, (a, b) in products(model).items():
        by_hand.model.get_parameter(f"{layer}.weight").data += ALPHA / RANK * b.detach() @ a.detach()
    torch.testing.assert_close(model(images()), model.head(by_hand(images())), rtol=1e-10, atol=1e-12)


def test_drawing_weights_touches_no_global_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, before = tiny_stream(), torch.get_rng_state()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("CUDA was reseeded"))
    lora(stream)
    assert torch.equal(torch.get_rng_state(), before)


def test_gradients_of_both_matrices_are_those_of_their_product() -> None:
    model, by_hand = stir(lora()), tiny_stream().requires_grad_(True)
    for layer, (a, b) in products(model).items():
        by_hand.model.get_parameter(f"{layer}.weight").data += ALPHA / RANK * b.detach() @ a.detach()
    model(images()).square().sum().backward()
    model.head(by_hand(images())).square().sum().backward()
    for layer, (a, b) in products(model).items():
        slope = by_hand.model.get_parameter(f"{layer}.weight").grad
        torch.testing.assert_close(a.grad, ALPHA / RANK * b.T @ slope, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(b.grad, ALPHA / RANK * slope @ a.T, rtol=1e-8, atol=1e-10)


def test_two_matrices_a_layer_and_the_head_are_trained_and_nothing_else() -> None:
    trained = {name: p for name, p in lora().named_parameters() if p.requires_grad}
    by_layer = RANK * (WIDTH + 3 * WIDTH) + RANK * (WIDTH + WIDTH)
    assert sum(p.numel() for p in trained.values()) == 3 * by_layer + CLASSES * (WIDTH + 1)
    assert list(products(lora())) == ATTENTION  # not the projection of the patches, which timm calls `proj` too


def test_targets_are_the_ends_of_names() -> None:
    stream = tiny_stream()
    assert target_layers(stream, ("proj", "qkv")) == ATTENTION
    assert target_layers(stream, ("attn.proj",)) == ATTENTION[1::2]
    assert target_layers(stream, ("blocks.1.attn.qkv", "blocks.2.mlp.fc1")) == ["blocks.1.attn.qkv", "blocks.2.mlp.fc1"]


def test_every_target_that_is_no_layer_is_named_with_the_nearest_one() -> None:
    with pytest.raises(UserError) as raised:
        lora(None, "qvk", "qkv", "patch_embed.proj", "kv")
    first, second, third = raised.value.problems
    assert (first.where, first.nearest, first.valid) == ("method.targets", "qkv", ("qkv", "proj", "fc1", "fc2"))
    assert '"qvk"' in first.message
    assert '"patch_embed.proj"' in second.message
    assert '"kv"' in third.message


def test_a_layer_whose_weight_a_block_uses_by_itself_is_refused() -> None:
    """Timm's Eva adds a bias of its own to qkv, past whatever stands in the layer's place."""
    stream = eva_stream({"use_rot_pos_emb": True})
    with pytest.raises(UserError, match='"qkv" is no layer that a block of this backbone calls'):
        lora(stream, "qkv")
    model, by_hand = stir(lora(stream, "proj")), eva_stream({"use_rot_pos_emb": True})
    for layer, (a, b) in products(model).items():
        by_hand.model.get_parameter(f"{layer}.weight").data += ALPHA / RANK * b.detach() @ a.detach()
    torch.testing.assert_close(model(images()), model.head(by_hand(images())), rtol=1e-10, atol=1e-12)


def test_layers_can_be_looked_up_in_a_backbone_that_has_lora_already() -> None:
    assert target_layers(lora().stream, ("proj", "fc1"))[:2] == ["blocks.0.attn.proj", "blocks.0.mlp.fc1"]


def test_initial_weights_follow_from_the_generator_and_the_layers_own_name() -> None:
    one, two, three = (tiny_stream() for _ in range(3))
    before = torch.random.get_rng_state()
    few, many, other = products(lora(one, "proj")), products(lora(two)), products(lora(three, "proj", seed=6))
    assert torch.equal(before, torch.random.get_rng_state())
    for layer, (a, b) in few.items():
        assert torch.equal(a, many[layer][0])
        assert not torch.equal(a, other[layer][0])
        assert not b.any()
    first, second, *_ = (a for a, _ in few.values())
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("init", "std"), [("kaiming", 1 / math.sqrt(3 * 384)), ("gaussian", 1 / 32)])
def test_the_first_matrix_is_uniform_or_normal(init: str, std: float) -> None:
    vit = VisionTransformer(img_size=4, patch_size=2, embed_dim=384, depth=1, num_heads=2, num_classes=0)
    model = lora(as_stream(vit, mean=(0.5,) * 3, std=(0.5,) * 3), "qkv", rank=32, init=init)
    (a, _), *_ = products(model).values()
    assert a.std().item() == pytest.approx(std, rel=0.03)
    assert (a.abs().max().item() <= std * math.sqrt(3)) == (init == "kaiming")


def test_dropout_acts_in_training_alone_and_the_backbone_never_trains() -> None:
    model = stir(lora(None, dropout=0.5)).train()
    assert not model.stream.training
    assert not model.stream.model.blocks[0].training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert not torch.equal(model(images()), model(images()))
    model.eval()
    assert torch.equal(model(images()), model(images()))


def test_peft_loads_what_was_trained_into_timms_own_model_and_merges_it(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

    model = stir(lora())
    (tmp_path / "adapter_config.json").write_text(model.peft_config())
    tensors = model.to_peft_state_dict({name: p.detach() for name, p in model.named_parameters() if p.requires_grad})
    vit = tiny_stream().model
    vit.reset_classifier(CLASSES)
    loaded = get_peft_model(vit.double(), LoraConfig.from_pretrained(tmp_path)).eval()
    result = set_peft_model_state_dict(loaded, tensors)
    assert not result.unexpected_keys
    assert len(tensors) == 2 * len(ATTENTION) + 2
    torch.testing.assert_close(loaded(images()), model(images()), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(loaded.merge_and_unload()(images()), model(images()), rtol=1e-10, atol=1e-12)


def test_peft_loads_a_folder_of_it_too(tmp_path: Path) -> None:
    from peft import PeftModel
    from safetensors.torch import save_file

    model = stir(lora(None, "blocks.2.attn.qkv"))
    (tmp_path / "adapter_config.json").write_text(model.peft_config())
    tensors = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    save_file(model.to_peft_state_dict(tensors), tmp_path / "adapter_model.safetensors")
    vit = tiny_stream().model
    vit.reset_classifier(CLASSES)
    loaded = PeftModel.from_pretrained(vit.double(), str(tmp_path)).eval()
    torch.testing.assert_close(loaded(images()), model(images()), rtol=1e-10, atol=1e-12)
    assert json.loads(model.peft_config())["target_modules"] == ["blocks.2.attn.qkv"]
