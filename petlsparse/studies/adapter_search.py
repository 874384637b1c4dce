"""adapter-search: where adapters belong in a frozen pre-trained transformer (arXiv 2410.15858)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import partial
from types import MappingProxyType
from typing import cast

import torch

from petlsparse.adapters.edges import Edge
from petlsparse.adapters.flops import flops_per_example
from petlsparse.adapters.importance import edge_rows
from petlsparse.adapters.models import FullFineTuning, PlacedAdapters
from petlsparse.adapters.placements import select_edges
from petlsparse.backbones import load_backbone
from petlsparse.backbones.stream import ResidualStream
from petlsparse.errors import Problem, UserError
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.methods import AdapterMethod, Adapters, FullFinetuning
from petlsparse.recipe.schema import AdapterRun, Run
from petlsparse.studies.execution import Assembly, examples_of, shared_data
from petlsparse.studies.execution import execute as execute_assembled
from petlsparse.studies.frozen_feeds import frozen_feeds
from petlsparse.training.method import Plain
from petlsparse.training.seeding import stream

FROZEN_DTYPES: Mapping[str, torch.dtype | None] = MappingProxyType({"float32": None, "bf16": torch.bfloat16})
"""`backbone.frozen_precision` -> what frozen values are rounded to."""


def assemble(
    run: Run, device: torch.device, execution: Execution, earlier: Mapping[str, str] = MappingProxyType({})
) -> Assembly:
    """Data at the backbone's size, backbone and method of a run, on the device."""
    run = cast("AdapterRun", run)
    backbone = load_backbone(
        run.backbone.name,
        pretrained=run.backbone.pretrained,
        image_size=run.backbone.image_size,
        generator=stream(run.seed, "init"),
    )
    if run.data.image_size not in (None, backbone.image_size):
        message = f"images take the size of the backbone, {backbone.image_size}; set backbone.image_size instead"
        raise UserError(Problem(message, "data.image_size", str(run.data.image_size)))
    fingerprint = backbone.fingerprint  # before anything is trained
    dataset = shared_data(
        name=run.data.name,
        train_examples=run.data.train_examples,
        image_size=backbone.image_size,
        channels=backbone.channels,
        fit=run.data.fit,
    )
    model = _model(run, backbone, dataset.classes).to(device)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    total = sum(p.numel() for p in model.parameters())
    flops = flops_per_example(model)
    frozen, said = frozen_feeds(
        run, model, dataset, device, execution, backbone=fingerprint, earlier=earlier.get("frozen_values")
    )
    return Assembly(
        Plain(model),
        dataset,
        cost={
            "trainable_parameters": trainable,
            "total_parameters": total,
            "active_parameters": total,
            "inference_flops": flops.inference,
            "training_flops": flops.training * examples_of(run, dataset),
        },
        pixel_mean=backbone.mean,
        pixel_std=backbone.std,
        provenance={"backbone_fingerprint": fingerprint},
        manner={"frozen_values": said},
        feeds=frozen,
        final_rows=lambda: {"edges": edge_rows(model)},
    )


def _model(run: AdapterRun, backbone: ResidualStream, classes: int) -> PlacedAdapters | FullFineTuning:
    settings, frozen_dtype = run.method, FROZEN_DTYPES[run.backbone.frozen_precision]
    head = stream(run.seed, "head")
    if isinstance(settings, FullFinetuning):
        _refuse_rounding(frozen_dtype)
        return FullFineTuning(backbone, classes, head_generator=head)
    place = partial(
        PlacedAdapters,
        backbone,
        classes=classes,
        generator=stream(run.seed, "adapters"),
        head_generator=head,
        frozen_dtype=frozen_dtype,
    )
    if not isinstance(settings, Adapters):
        return place(edges=())
    return place(
        edges=_edges(settings, backbone),
        rank=settings.rank,
        activation=settings.activation,
        layer_norm=settings.layer_norm,
        bias=settings.bias,
        scale=settings.scale,
    )


def _edges(settings: Adapters, backbone: ResidualStream) -> tuple[Edge, ...]:
    return select_edges(
        settings.placement,
        backbone.nodes,
        edges=settings.edges,
        count=settings.count,
        edge_kind=settings.edge_kind,
        draw=settings.draw,
    )


def _refuse_rounding(frozen_dtype: torch.dtype | None) -> None:
    if frozen_dtype is not None:
        message = "full fine-tuning has no frozen part whose values could be rounded; only float32 is possible"
        raise UserError(Problem(message, "backbone.frozen_precision", "bf16"))


def check_method(settings: AdapterMethod, model: PlacedAdapters | FullFineTuning) -> None:
    """Raises UserError if the method asks for what the model's backbone does not have."""
    if isinstance(settings, Adapters):
        _edges(settings, model.stream)
    if isinstance(settings, FullFinetuning) and isinstance(model, PlacedAdapters):
        _refuse_rounding(model.frozen_dtype)


def cohort_key(run: Run, device: str, execution: Execution) -> Hashable | None:
    """None: placements are trained alone as yet."""
    return None


execute = partial(execute_assembled, assemble)
