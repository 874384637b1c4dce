"""BitFit and norm tuning: exactly these parameters are trained, with the gradients of full fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from petlsparse.adapters.partial import PartiallyTrainedModel, biases, norms
from petlsparse.adapters.tuned import FullFinetuningModel
from petlsparse.backbones.stream import ResidualStream
from petlsparse.backbones.timm_streams import as_stream
from petlsparse.errors import UserError

from .toys import CLASSES, generator, images, tiny_stream

Selection = Callable[[ResidualStream], Mapping[str, nn.Parameter]]


def trained(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def model_of(selection: Selection) -> PartiallyTrainedModel:
    stream = tiny_stream(depth=1)
    return PartiallyTrainedModel(stream, selection(stream).values(), CLASSES, head_generator=generator()).double()


HEAD = {"head.weight", "head.bias"}
OF_BLOCKS = ("blocks.0.norm1", "blocks.0.norm2", "norm")
NORMS = {f"stream.vit.{norm}.{of}" for norm in OF_BLOCKS for of in ("weight", "bias")}
BIASES = {
    f"stream.vit.{layer}.bias"
    for layer in (
        "patch_embed.proj", "blocks.0.norm1", "blocks.0.attn.qkv", "blocks.0.attn.proj", "blocks.0.norm2",
        "blocks.0.mlp.fc1", "blocks.0.mlp.fc2", "norm",
    )
}  # fmt: skip


@pytest.mark.parametrize(("selection", "names"), [(biases, BIASES), (norms, NORMS)], ids=["bitfit", "layer-norm"])
def test_these_parameters_and_the_head_are_trained_and_nothing_else(selection: Selection, names: set[str]) -> None:
    model = model_of(selection)
    assert trained(model) == names | HEAD
    labels = torch.tensor([0, 1])
    F.cross_entropy(model(images()), labels).backward()
    whole = FullFinetuningModel(tiny_stream(depth=1), CLASSES, head_generator=generator()).double()
    logits = whole(images())
    assert torch.equal(model(images()), logits)
    F.cross_entropy(logits, labels).backward()
    for name, parameter in model.named_parameters():
        if name in names | HEAD:
            torch.testing.assert_close(parameter.grad, whole.get_parameter(name).grad)
        else:
            assert parameter.grad is None


def test_biases_of_queries_and_values_that_stand_apart_are_biases() -> None:
    stream = as_stream(timm.create_model("eva02_tiny_patch14_224", depth=1, img_size=28), (0.5,) * 3, (0.5,) * 3)
    assert {"blocks.0.attn.q_bias", "blocks.0.attn.v_bias", "fc_norm.bias"} <= biases(stream).keys()
    assert {"fc_norm.weight", "blocks.0.norm2.bias"} <= norms(stream).keys()
    assert not any("attn" in name for name in norms(stream))


def test_a_backbone_without_any_is_refused() -> None:
    stream = tiny_stream(depth=1)
    for module in stream.vit.modules():
        if getattr(module, "bias", None) is not None:
            module.bias = None
    with pytest.raises(UserError, match="no biases to train"):
        biases(stream)
