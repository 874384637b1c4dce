"""The opened-up stream computes what timm computes, stays frozen, and refuses models that it would get wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import timm
import torch
from timm.models.vision_transformer import (
    ParallelScalingBlock,
    ParallelThingsBlock,
    ResPostBlock,
    VisionTransformer,
)
from torch import Tensor, nn

from petlsparse.backbones.timm_streams import as_stream
from petlsparse.errors import UserError

MEAN = STD = (0.5, 0.5, 0.5)


def small(**options: object) -> VisionTransformer:
    """Three blocks of width 24 over four patches of a 16x16 image, with every weight random."""
    settings = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3, "num_classes": 7}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vit = VisionTransformer(**{**settings, **options})
        for parameter in vit.parameters():  # timm starts biases, tokens and layer scales at or near a constant
            nn.init.normal_(parameter, std=0.3)
    return vit


def images(vit: VisionTransformer, dtype: torch.dtype) -> Tensor:
    side = vit.patch_embed.img_size[0]
    return torch.randn(2, vit.in_chans, side, side, generator=torch.Generator().manual_seed(1), dtype=dtype)


def shrunk(name: str, **options: object) -> VisionTransformer:
    """The architecture with fewer and narrower blocks, every weight random: a layer scale of 1e-5 would hide them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vit: VisionTransformer = timm.create_model(name, depth=3, embed_dim=48, num_heads=4, **options)
        for parameter in vit.parameters():
            nn.init.normal_(parameter, std=0.3)
    return vit


VARIANTS: dict[str, Callable[[], VisionTransformer]] = {
    "class token": small,
    "layer scale and registers": lambda: small(init_values=0.1, reg_tokens=2),
    "patch position only": lambda: small(init_values=0.1, reg_tokens=2, no_embed_class=True),
    "average pooling": lambda: small(global_pool="avg", class_token=False),
    "average pooling, norm before": lambda: small(global_pool="avg", fc_norm=False),
    "maximum pooling": lambda: small(global_pool="avgmax"),
    "attention pooling": lambda: small(global_pool="map", class_token=False),
    "norm before the blocks": lambda: small(pre_norm=True, norm_layer=nn.LayerNorm),
    "query and key norm": lambda: small(qk_norm=True, scale_attn_norm=True, scale_mlp_norm=True),
    "no final norm": lambda: small(final_norm=False),
    "one channel": lambda: small(in_chans=1),
    "inactive dropout and drop-path": lambda: small(
        proj_drop_rate=0.5, drop_path_rate=0.5, drop_rate=0.5, patch_drop_rate=0.5
    ),
    "test_vit": lambda: timm.create_model("test_vit"),
    "test_vit2 at 32 pixels": lambda: timm.create_model("test_vit2", img_size=32),
    "test_vit3": lambda: timm.create_model("test_vit3"),
    "test_vit4": lambda: timm.create_model("test_vit4"),
    "DINOv2 with registers": lambda: timm.create_model("vit_small_patch14_reg4_dinov2", img_size=28, depth=2),
    "ViT-B/16": lambda: shrunk("vit_base_patch16_224", img_size=32),
    "ViT-g/14, SwiGLU": lambda: shrunk("vit_giant_patch14_dinov2", img_size=28),
    "ViT-g/14, SwiGLU and registers": lambda: shrunk("vit_giant_patch14_reg4_dinov2", img_size=28),
    "DeiT-3": lambda: timm.create_model("deit3_small_patch16_224", img_size=32, depth=2),
    "CLIP": lambda: timm.create_model("vit_base_patch32_clip_quickgelu_224", img_size=64, depth=2),
    "hybrid with a convolutional stem": lambda: timm.create_model("vit_tiny_r_s16_p8_224", img_size=64, depth=2),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_stream_computes_what_the_timm_model_computes(variant: str, dtype: torch.dtype) -> None:
    vit = VARIANTS[variant]().to(dtype).eval()
    x = images(vit, dtype)
    with torch.no_grad():
        tokens, features = vit.forward_features(x), vit.forward_head(vit.forward_features(x), pre_logits=True)
        stream = as_stream(vit, MEAN, STD)
        node, context = stream.embed(x)
        for j in range(1, stream.nodes):
            node = stream.advance(j, node, context)
        torch.testing.assert_close(vit.norm(node), tokens)
        torch.testing.assert_close(stream.pool(node, context), features)
        torch.testing.assert_close(stream(x), features)
    assert features.shape == (2, stream.width)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("vit_base_patch16_224", 224), ("vit_giant_patch14_reg4_dinov2", 56)])
def test_the_whole_models_of_papers_compute_what_timm_computes(name: str, size: int) -> None:
    with torch.device("meta"):
        vit = timm.create_model(name, img_size=size)
    vit = vit.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.normal_(std=0.02, generator=generator)
        x = images(vit, torch.float32)
        features = vit.forward_head(vit.forward_features(x), pre_logits=True)
        stream = as_stream(vit, MEAN, STD)
        torch.testing.assert_close(stream(x), features)
    assert stream.nodes == 2 * len(vit.blocks) + 1


def test_there_are_two_nodes_per_block_and_one_before_them() -> None:
    stream = as_stream(small(depth=5), MEAN, STD)
    assert (stream.nodes, stream.width, stream.channels, stream.image_size) == (11, 24, 3, 16)


def test_even_nodes_are_the_outputs_of_the_timm_blocks() -> None:
    vit = small().double().eval()
    outputs: list[Tensor] = []
    for block in vit.blocks:
        block.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    x = images(vit, torch.float64)
    with torch.no_grad():
        vit(x)
    stream = as_stream(vit, MEAN, STD)
    node, context = stream.embed(x)
    for j in range(1, stream.nodes):
        node = stream.advance(j, node, context)
        if j % 2 == 0:
            torch.testing.assert_close(node, outputs[j // 2 - 1])


def test_odd_nodes_add_attention_alone() -> None:
    vit = small().double().eval()
    stream = as_stream(vit, MEAN, STD)
    x, context = stream.embed(images(vit, torch.float64))
    for parameter in vit.blocks[1].mlp.parameters():
        parameter.fill_(float("nan"))  # the MLP of block 1 must not be touched on the way to node 3
    assert torch.isfinite(stream.advance(3, x, context)).all()
    assert torch.isnan(stream.advance(4, x, context)).all()


def test_a_stream_is_frozen_and_stays_in_evaluation_mode() -> None:
    stream = as_stream(small(proj_drop_rate=0.5), MEAN, STD)
    parent = nn.Sequential(stream).train()
    assert parent.training
    assert not any(module.training for module in stream.modules())
    assert not any(parameter.requires_grad for parameter in stream.parameters())


def test_a_stream_has_no_classifier() -> None:
    stream = as_stream(small(), MEAN, STD)
    assert not any("head" in name for name, _ in stream.named_parameters())


def test_the_fingerprint_is_that_of_the_weights() -> None:
    one, two = as_stream(small(), MEAN, STD), as_stream(small(), MEAN, STD)
    assert one.fingerprint == two.fingerprint
    assert len(one.fingerprint) == 12
    weight = two.vit.blocks[2].mlp.fc2.weight
    weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(9.0))
    assert one.fingerprint != two.fingerprint


OTHER_PASSES: dict[str, dict[str, object]] = {
    "heads": {"num_heads": 4},
    "epsilon": {"norm_layer": partial(nn.LayerNorm, eps=1e-3)},
    "activation": {"act_layer": nn.ReLU},
    "position of registers": {"reg_tokens": 2, "no_embed_class": True},
    "pooling": {"global_pool": "avg", "fc_norm": False},
    "mean": {},
}


@pytest.mark.parametrize("variant", OTHER_PASSES)
def test_the_forward_fingerprint_is_that_of_everything_but_the_weights(variant: str) -> None:
    options = OTHER_PASSES[variant]
    plain = {name: value for name, value in options.items() if name == "reg_tokens"}
    mean = (0.4, 0.5, 0.5) if variant == "mean" else MEAN
    one, other = as_stream(small(**plain), MEAN, STD), as_stream(small(**options), mean, STD)
    assert one.vit.state_dict().keys() == other.vit.state_dict().keys()
    assert one.forward_fingerprint != other.forward_fingerprint


def test_what_does_nothing_in_evaluation_is_not_in_the_forward_fingerprint() -> None:
    dropping = small(proj_drop_rate=0.5, attn_drop_rate=0.1, drop_path_rate=0.5, patch_drop_rate=0.5)
    one, other = as_stream(small(), MEAN, STD), as_stream(dropping, MEAN, STD)
    assert one.forward_fingerprint == other.forward_fingerprint
    other.vit.blocks[0].mlp.fc1.weight.zero_()
    assert one.forward_fingerprint == other.forward_fingerprint


class Rearranged(VisionTransformer):
    """Might run its blocks in any order."""


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: small(block_fn=ResPostBlock), "normalise after the sub-block"),
        (lambda: small(block_fn=ParallelScalingBlock), "in parallel"),
        (lambda: small(block_fn=ParallelThingsBlock), "in parallel"),
        (lambda: small(global_pool=""), "does not pool"),
        (lambda: Rearranged(img_size=16, patch_size=8, embed_dim=24, depth=1, num_heads=3), "Rearranged"),
        (lambda: nn.Sequential(nn.Conv2d(3, 8, 3)), "Sequential"),
    ],
)
def test_a_model_without_a_stream_is_refused_with_the_reason(
    model: Callable[[], VisionTransformer], reason: str
) -> None:
    with pytest.raises(UserError, match=reason) as caught:
        as_stream(model(), MEAN, STD)
    assert "VisionTransformers" in str(caught.value)
