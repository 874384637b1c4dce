"""adapter-search: where adapters belong in a frozen pre-trained transformer (arXiv 2410.15858)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import cast

import torch
from torch import nn

from petlsparse.adapters.edges import Edge
from petlsparse.adapters.importance import edge_rows
from petlsparse.adapters.models import FullFineTuning, PlacedAdapters
from petlsparse.adapters.placements import select_edges
from petlsparse.backbones import load_backbone
from petlsparse.backbones.stream import ResidualStream
from petlsparse.cohorts.placements import StackedPlacements
from petlsparse.data.types import Dataset
from petlsparse.errors import Problem, UserError
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.methods import AdapterMethod, Adapters, FullFinetuning
from petlsparse.recipe.schema import AdapterRun, Run
from petlsparse.studies.assembly import Assembly, examples_of, shared_data
from petlsparse.studies.cached_features import feature_loaders
from petlsparse.studies.execution import execute as execute_runs
from petlsparse.studies.flops import flops_per_example
from petlsparse.studies.members import CohortSpec
from petlsparse.training.method import Plain
from petlsparse.training.result import Row
from petlsparse.training.seeding import stream

FROZEN_DTYPES: Mapping[str, torch.dtype | None] = MappingProxyType({"float32": None, "bf16": torch.bfloat16})
"""`backbone.frozen_precision` -> what frozen values are rounded to."""


def assemble(
    run: Run, device: torch.device, execution: Execution, resumed_from: Mapping[str, str] = MappingProxyType({})
) -> Assembly:
    """Data at the backbone's size, backbone and method of a run, on the device."""
    return assemble_together([run], device, execution, [resumed_from])[0]


def assemble_together(
    runs: Sequence[Run], device: torch.device, execution: Execution, resumed_from: Sequence[Mapping[str, str]]
) -> list[Assembly]:
    """`assemble` for runs with the same data and backbone: they share the backbone, and what is cached of it."""
    runs = cast("Sequence[AdapterRun]", runs)
    first = runs[0]
    backbone = load_backbone(
        first.backbone.name,
        pretrained=first.backbone.pretrained,
        image_size=first.backbone.image_size,
        generator=stream(first.seed, "init"),
    )
    if first.data.image_size not in (None, backbone.image_size):
        message = f"images take the size of the backbone, {backbone.image_size}; set backbone.image_size instead"
        raise UserError(Problem(message, "data.image_size", str(first.data.image_size)))
    fingerprints = {  # before anything is trained
        "backbone_fingerprint": backbone.fingerprint,
        "forward_fingerprint": backbone.forward_fingerprint,
    }
    dataset = shared_data(first.data, image_size=backbone.image_size, channels=backbone.channels)
    models = [_model(run, backbone, dataset.classes).to(device) for run in runs]
    loaders, cache_note = feature_loaders(
        first,
        models,
        dataset,
        device,
        execution,
        backbone=fingerprints,
        resumed_from=resumed_from[0].get("frozen_values"),
    )
    return [
        Assembly(
            Plain(model),
            dataset,
            cost=_cost(run, model, dataset),
            pixel_mean=backbone.mean,
            pixel_std=backbone.std,
            provenance=fingerprints,
            runtime_choices={"frozen_values": cache_note},
            facts=_facts(run, backbone),
            loaders=loaders,
            final_rows=partial(_final_rows, model),
        )
        for run, model in zip(runs, models, strict=True)
    ]


def _facts(run: AdapterRun, backbone: ResidualStream) -> dict[str, str]:
    return {"edges": json.dumps(_edges(run.method, backbone))} if isinstance(run.method, Adapters) else {}


def _cost(run: AdapterRun, model: PlacedAdapters | FullFineTuning, dataset: Dataset) -> dict[str, float]:
    total = sum(p.numel() for p in model.parameters())
    backbone = model.stream
    flops = flops_per_example(model, (backbone.channels, backbone.image_size, backbone.image_size))
    return {
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "total_parameters": total,
        "active_parameters": total,
        "inference_flops": flops.inference,
        "training_flops": flops.training * examples_of(run, dataset),
    }


def _final_rows(model: PlacedAdapters | FullFineTuning) -> dict[str, list[Row]]:
    return {"edges": edge_rows(model)}


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
    return select_edges(settings.placement, backbone.nodes, **settings.placement_options())


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


def _stack(models: Sequence[nn.Module]) -> StackedPlacements:
    return StackedPlacements(cast("Sequence[PlacedAdapters]", models))  # others have no cohort key


SPEC = CohortSpec(assemble=assemble_together, shares_loaders=True, stack=_stack)
execute = partial(execute_runs, SPEC)
