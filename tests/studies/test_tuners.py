"""Every kind of method of adapter-search has a tuner, which is what it says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from petlsparse.backbones import load_backbone
from petlsparse.recipe.schema import models_of
from petlsparse.studies.tuners import METHODS
from tests.studies.settings import ADAPTED, make

CLASSES = 10


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def settings(kind: str) -> Any:
    needed = {
        "adapters": ADAPTED["method"],
        "score": {"scores": ["srank"]},
        "layer-wise-probe": {"node": 12},  # the last node of vit-micro
    }
    return make(ADAPTED, method={"kind": kind, **needed.get(kind, {})}).method


def test_kinds_of_methods_and_tuners_are_the_same() -> None:
    assert {model.model_fields["kind"].default for model in models_of("adapter-search", "method")} == METHODS.keys()


@pytest.mark.parametrize("kind", sorted(METHODS))
def test_a_fresh_model_is_the_backbone_with_a_head(kind: str) -> None:
    backbone = load_backbone("vit-micro", image_size=16)
    images = torch.randn(3, 3, 16, 16, generator=generator())
    with torch.no_grad():
        features = backbone(images)
    tuner = METHODS[kind]
    tuner.check(settings(kind), backbone)
    model = tuner.build(
        settings(kind),
        backbone,
        CLASSES,
        generator=generator(),
        head_generator=generator(),
        frozen_dtype=None,
        scoring=lambda *_: pytest.fail("no edges are chosen by a score here"),
    ).train()
    torch.testing.assert_close(model(images), model.head(features))
    assert model.head.weight.requires_grad
    assert tuner.freezes == bool(model.frozen_nodes)
    if tuner.freezes:
        torch.testing.assert_close(model(model.frozen(images)), model(images))
