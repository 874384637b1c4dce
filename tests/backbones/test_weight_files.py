"""Weights as papers publish them: Google's JAX files, names with prefixes; and normalisation by settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from petlsparse.backbones import load_backbone, sources
from petlsparse.errors import UserError

IMAGES = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def vit() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return timm.create_model("test_vit", num_classes=5).eval()


def features(vit: Any) -> Tensor:
    return vit.forward_head(vit.forward_features(IMAGES), pre_logits=True).detach()


def jax_layout(vit: Any) -> dict[str, np.ndarray]:
    """The arrays that Google's vision_transformer writes for such a model: kernels (inputs, outputs), heads apart."""
    weights = {name: tensor.numpy() for name, tensor in vit.state_dict().items()}
    width, heads = vit.embed_dim, vit.blocks[0].attn.num_heads
    arrays = {
        "cls": weights["cls_token"],
        "embedding/kernel": weights["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "embedding/bias": weights["patch_embed.proj.bias"],
        "Transformer/posembed_input/pos_embedding": weights["pos_embed"],
        "Transformer/encoder_norm/scale": weights["norm.weight"],
        "Transformer/encoder_norm/bias": weights["norm.bias"],
        "head/kernel": weights["head.weight"].T,
        "head/bias": weights["head.bias"],
    }
    for number in range(len(vit.blocks)):
        block, mine = f"Transformer/encoderblock_{number}", f"blocks.{number}"
        for norm, name in (("LayerNorm_0", "norm1"), ("LayerNorm_2", "norm2")):
            arrays[f"{block}/{norm}/scale"] = weights[f"{mine}.{name}.weight"]
            arrays[f"{block}/{norm}/bias"] = weights[f"{mine}.{name}.bias"]
        attention = f"{block}/MultiHeadDotProductAttention_1"
        qkv = weights[f"{mine}.attn.qkv.weight"].reshape(3, heads, width // heads, width)
        bias = weights[f"{mine}.attn.qkv.bias"].reshape(3, heads, width // heads)
        for index, name in enumerate(("query", "key", "value")):
            arrays[f"{attention}/{name}/kernel"] = qkv[index].transpose(2, 0, 1)
            arrays[f"{attention}/{name}/bias"] = bias[index]
        out = weights[f"{mine}.attn.proj.weight"].reshape(width, heads, width // heads)
        arrays[f"{attention}/out/kernel"] = out.transpose(1, 2, 0)
        arrays[f"{attention}/out/bias"] = weights[f"{mine}.attn.proj.bias"]
        for index, name in enumerate(("fc1", "fc2")):
            arrays[f"{block}/MlpBlock_3/Dense_{index}/kernel"] = weights[f"{mine}.mlp.{name}.weight"].T
            arrays[f"{block}/MlpBlock_3/Dense_{index}/bias"] = weights[f"{mine}.mlp.{name}.bias"]
    return arrays


def test_a_jax_file_computes_what_the_model_computes(vit: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "test_vit.npz", **jax_layout(vit))
    stream = load_backbone(f"local-dir:{tmp_path}/test_vit.npz")
    torch.testing.assert_close(stream(IMAGES), features(vit))
    vit.reset_classifier(0)
    assert {name: tensor.tolist() for name, tensor in stream.model.state_dict().items()} == {
        name: tensor.tolist() for name, tensor in vit.state_dict().items()
    }


def test_a_jax_file_goes_by_its_own_name_too(vit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sources.JAX_FILES, "ViT-B_16", "test_vit")
    np.savez(tmp_path / "ViT-B_16.npz", **jax_layout(vit))
    torch.testing.assert_close(load_backbone(f"local-dir:{tmp_path}/ViT-B_16.npz")(IMAGES), features(vit))


def test_the_names_of_jax_files_are_those_of_timm() -> None:
    assert set(sources.JAX_FILES.values()) <= set(timm.list_pretrained())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # timm leaves the file open
def test_what_a_jax_file_lacks_does_not_stay_random(vit: Any, tmp_path: Path) -> None:
    arrays = jax_layout(vit)
    del arrays["cls"], arrays["Transformer/encoderblock_2/LayerNorm_2/scale"]
    np.savez(tmp_path / "test_vit.npz", **arrays)
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/test_vit.npz").write_bytes(b"no archive")
    for name in ("test_vit.npz", "cut/test_vit.npz"):
        with pytest.raises(UserError) as caught:
            load_backbone(f"local-dir:{tmp_path}/{name}")
        assert caught.value.problems[0].where == "backbone.name"


def prefixed(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor.clone() for name, tensor in weights.items()}


@pytest.mark.parametrize(
    "prefix", ["module.", "backbone.", "model.", "teacher.", "student.", "teacher.module.backbone."]
)
def test_a_prefix_of_all_names_is_left_out(prefix: str, vit: Any, tmp_path: Path) -> None:
    other = {"head.mlp.0.weight": torch.ones(2), f"{prefix}head.weight": torch.ones(3)}
    save_file(prefixed(prefix, vit.state_dict()) | other, tmp_path / "test_vit.safetensors")
    torch.testing.assert_close(load_backbone(f"local-dir:{tmp_path}/test_vit.safetensors")(IMAGES), features(vit))


def test_the_teacher_is_taken_from_what_dino_saves(vit: Any, tmp_path: Path) -> None:
    teacher = prefixed("backbone.", vit.state_dict()) | {"head.last_layer.weight": torch.ones(2)}
    student = {f"module.{name}": tensor + 1 for name, tensor in teacher.items()}
    torch.save(
        {"student": student, "teacher": teacher, "optimizer": {"state": {}}, "epoch": 3}, tmp_path / "test_vit.pth"
    )
    torch.testing.assert_close(load_backbone(f"local-dir:{tmp_path}/test_vit.pth")(IMAGES), features(vit))


def test_a_prefix_that_leaves_weights_missing_is_not_left_out(vit: Any, tmp_path: Path) -> None:
    weights = prefixed("backbone.", vit.state_dict())
    del weights["backbone.blocks.3.norm1.weight"]
    save_file(weights, tmp_path / "test_vit.safetensors")
    with pytest.raises(UserError, match=r"timm cannot load|weights are missing"):
        load_backbone(f"local-dir:{tmp_path}/test_vit.safetensors")


def test_normalisation_is_that_of_the_settings_and_part_of_the_forward_pass() -> None:
    own = load_backbone("vit-micro")
    none = load_backbone("vit-micro", mean=(0, 0, 0), std=(1, 1, 1))
    assert (none.mean, none.std) == ((0.0,) * 3, (1.0,) * 3)
    assert none.fingerprint == own.fingerprint
    assert none.forward_fingerprint != own.forward_fingerprint
    again = load_backbone("vit-micro", mean=own.mean, std=own.std)
    assert again.forward_fingerprint == own.forward_fingerprint
    with pytest.raises(UserError, match=r"backbone\.std: should be 3 numbers"):
        load_backbone("vit-micro", std=(1.0,))
