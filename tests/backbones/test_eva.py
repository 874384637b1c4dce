"""timm's Eva models as residual streams: equal to timm's own forward pass for every architecture, or refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.eva import Eva
from torch import Tensor, nn

from petlsparse.backbones import load_backbone
from petlsparse.backbones.timm_streams import EvaStream, as_stream
from petlsparse.errors import UserError

MEAN = STD = (0.5, 0.5, 0.5)
TINY: dict[str, Any] = {"depth": 2, "embed_dim": 48, "num_heads": 2}


def scramble(model: nn.Module) -> nn.Module:
    """Every weight random: timm starts biases, tokens, layer scales and norms at or near a constant."""
    source = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3, generator=source)
    return model.eval()


def eva(**options: Any) -> nn.Module:
    return scramble(Eva(**{"img_size": 16, "patch_size": 8, "num_classes": 7, **TINY, **options}))


def images(model: nn.Module, dtype: torch.dtype = torch.float32) -> Tensor:
    side = model.patch_embed.img_size[0]
    return torch.randn(2, model.in_chans, side, side, generator=torch.Generator().manual_seed(1), dtype=dtype)


ROTARY: dict[str, Any] = {"use_rot_pos_emb": True, "global_pool": "avg"}
VARIANTS: dict[str, dict[str, Any]] = {
    "position embedding alone": {},
    "class token": {"global_pool": "token"},
    "maximum pooling": {"global_pool": "avgmax"},
    "attention pooling": {"global_pool": "map", "class_token": False},
    "norm before the blocks": {"use_pre_transformer_norm": True},
    "layer scale": {"init_values": 0.1},
    "layer scale of attention alone": {"init_values": 0.1, "attn_only_layer_scale": True},
    "post-norm": {"use_post_norm": True},
    "post-norm, rotary": {"use_post_norm": True, **ROTARY},
    "rotary": ROTARY,
    "rotary, half": {**ROTARY, "rope_rotate_half": True},
    "rotary without position embedding, registers": {**ROTARY, "use_abs_pos_emb": False, "num_reg_tokens": 2},
    "rotary as in DINOv3": {**ROTARY, "rope_type": "dinov3", "dynamic_img_size": True},
    "rotary, learned for each block": {**ROTARY, "rope_type": "mixed"},
    "rotary, learned, other attention": {**ROTARY, "rope_type": "mixed", "attn_type": "rope"},
    "gated MLP": {"swiglu_mlp": True, "scale_mlp": True, "scale_attn_inner": True},
    "packed gated MLP": {"swiglu_mlp": True},
    "separate projections": {"qkv_fused": False, "attn_type": "rope", "num_kv_heads": 1, "qk_norm": True},
    "inactive dropout, drop-path and jitter": {
        **ROTARY,
        "proj_drop_rate": 0.5,
        "attn_drop_rate": 0.5,
        "drop_path_rate": 0.5,
        "patch_drop_rate": 0.5,
        "pos_drop_rate": 0.5,
    },
    "one channel": {"in_chans": 1},
}


def assert_as_timm(model: nn.Module, x: Tensor) -> None:
    """Nodes, pooled features and the forward pass; all tokens are computed as timm does, so to the bit.

    Pooling by attention is a product of few rows, whose last bits depend on where they lie in memory.
    """
    with torch.no_grad():
        tokens = model.forward_features(x)
        features = model.forward_head(tokens, pre_logits=True)
        stream = as_stream(model, MEAN, STD)
        assert type(stream) is EvaStream
        node, context = stream.embed(x)
        for j in range(1, stream.nodes):
            node = stream.advance(j, node, stream.context())
        assert torch.equal(stream.vit.norm(node), tokens)
        torch.testing.assert_close(stream.pool(node, context), features)
        torch.testing.assert_close(stream(x), features)
        if context is not None:
            assert torch.equal(context, stream.context())
    assert features.shape == (2, stream.width)
    assert tokens.std() > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
def test_the_stream_computes_what_the_timm_model_computes(options: dict[str, Any], dtype: torch.dtype) -> None:
    model = eva(**options).to(dtype)
    assert_as_timm(model, images(model, dtype))


@pytest.mark.parametrize("name", timm.list_models(module="eva"))
def test_so_it_does_for_every_architecture_that_timm_has(name: str) -> None:
    """Shrunk in depth, width and image; all else is as registered."""
    grouped = {"num_kv_heads": 2} if "sapiens2" in name else {}
    patch = re.search(r"patch(\d+)", name)
    assert patch
    sizes = {"img_size": 3 * int(patch[1]), "depth": 2, "embed_dim": 64, "num_heads": 4, **grouped}
    model = scramble(timm.create_model(name, **sizes))
    assert_as_timm(model, images(model))


def test_a_table_made_once_is_that_of_every_batch() -> None:
    """DINOv3 makes its rotary table for every batch anew; the loaded stream does not, and computes the same."""
    own = scramble(timm.create_model("vit_tiny_patch16_dinov3_qkvb", img_size=64))
    stream = load_backbone("vit_tiny_patch16_dinov3_qkvb", pretrained=False, image_size=64)
    stream.vit.load_state_dict(own.state_dict())
    assert own.dynamic_img_size
    assert not stream.vit.dynamic_img_size
    x = images(own)
    with torch.no_grad():
        assert torch.equal(stream(x), own.forward_head(own.forward_features(x), pre_logits=True))
    assert stream.context() is stream.context()


@pytest.mark.parametrize("post_norm", [False, True])
def test_odd_nodes_add_attention_alone(post_norm: bool) -> None:
    model = eva(use_post_norm=post_norm, **ROTARY)
    stream = as_stream(model, MEAN, STD)
    x, context = stream.embed(images(model))
    for parameter in model.blocks[1].mlp.parameters():
        parameter.fill_(float("nan"))  # the MLP of block 1 must not be touched on the way to node 3
    assert torch.isfinite(stream.advance(3, x, context)).all()
    assert torch.isnan(stream.advance(4, x, context)).all()


class Rearranged(Eva):
    """Might run its blocks in any order."""


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: Rearranged(img_size=16, patch_size=8, **TINY), "Rearranged"),
        (lambda: eva(global_pool=""), "does not pool"),
        (lambda: timm.create_model("vit_small_patch16_224", depth=1, img_size=32).blocks, "ModuleList|Sequential"),
    ],
)
def test_a_model_without_a_stream_is_refused_with_the_reason(model: Callable[[], nn.Module], reason: str) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        as_stream(model(), MEAN, STD)
    assert "Eva models" in str(caught.value)


def test_an_image_size_that_patches_do_not_fill_is_refused() -> None:
    with pytest.raises(UserError, match=r"multiple of the patch size 14 \(near: 28, 42\)"):
        load_backbone("eva02_tiny_patch14_224", pretrained=False, image_size=30)


# -- fingerprints

OTHER_PASSES: dict[str, dict[str, Any]] = {
    "heads": {"num_heads": 3},
    "temperature": {"rope_temperature": 100.0},
    "rotation": {"rope_rotate_half": True},
    "kind of rotary table": {"rope_type": "dinov3"},
    "pooling": {"use_fc_norm": True, "use_post_transformer_norm": False, "global_pool": "avgmax"},
}


@pytest.mark.parametrize("options", OTHER_PASSES.values(), ids=OTHER_PASSES.keys())
def test_equal_weights_in_another_forward_pass_have_another_fingerprint(options: dict[str, Any]) -> None:
    one, other = as_stream(eva(**ROTARY), MEAN, STD), as_stream(eva(**{**ROTARY, **options}), MEAN, STD)
    assert one.vit.state_dict().keys() == other.vit.state_dict().keys()
    assert one.fingerprint == other.fingerprint
    assert one.forward_fingerprint != other.forward_fingerprint


def test_what_does_nothing_in_evaluation_is_not_in_the_forward_fingerprint() -> None:
    idle = {"proj_drop_rate": 0.5, "drop_path_rate": 0.5, "patch_drop_rate": 0.5, "rope_jitter_coords": 1.2}
    one, other = as_stream(eva(**ROTARY), MEAN, STD), as_stream(eva(**ROTARY, **idle), MEAN, STD)
    assert one.forward_fingerprint == other.forward_fingerprint


# -- checkpoints


def save_folder(model: nn.Module, folder: Path, **arguments: Any) -> str:
    """A checkpoint folder as timm writes it, of a shrunk architecture."""
    timm.models.save_for_hf(model, str(folder), safe_serialization=True)
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    (folder / "config.json").write_text(json.dumps(config | {"model_args": arguments}))
    return f"local-dir:{folder}"


def small(name: str, **more: Any) -> tuple[nn.Module, dict[str, Any]]:
    arguments = {"img_size": 32, "depth": 2, "embed_dim": 64, "num_heads": 4, **more}
    return scramble(timm.create_model(name, num_classes=5, **arguments)), arguments


@pytest.mark.parametrize(
    "name", ["vit_small_patch16_dinov3", "vit_small_patch16_rope_mixed_224", "eva02_tiny_patch14_224"]
)
def test_a_checkpoint_is_loaded_whole_with_its_own_normalisation(name: str, tmp_path: Path) -> None:
    model, arguments = small(name, **({"img_size": 28} if "14" in name else {}))
    stream = load_backbone(save_folder(model, tmp_path / "mine", **arguments))
    x = images(model)
    with torch.no_grad():
        expected = model.forward_head(model.forward_features(x), pre_logits=True)
        torch.testing.assert_close(stream(x), expected)
    assert (stream.mean, stream.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    larger = load_backbone(f"local-dir:{tmp_path / 'mine'}", image_size=2 * arguments["img_size"])
    model.set_input_size(img_size=(larger.image_size, larger.image_size))
    x = torch.randn(2, 3, larger.image_size, larger.image_size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(larger(x), model.forward_head(model.forward_features(x), pre_logits=True))


@pytest.mark.parametrize("lost", ["blocks.1.attn.q_bias", "rope.freqs", "norm.weight"])
def test_weights_that_a_file_lacks_do_not_stay_random(lost: str, tmp_path: Path) -> None:
    name = "vit_small_patch16_rope_mixed_224" if lost == "rope.freqs" else "vit_small_patch16_dinov3_qkvb"
    model, arguments = small(name)
    folder = save_folder(model, tmp_path / "mine", **arguments)
    weights = model.state_dict()
    del weights[lost]
    save_file(weights, tmp_path / "mine" / "model.safetensors")
    with pytest.raises(UserError, match=lost.replace(".", r"\.")):
        load_backbone(folder)
