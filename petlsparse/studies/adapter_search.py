"""adapter-search: where adapters belong in a frozen pre-trained transformer (arXiv 2410.15858)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import cast

import torch
from torch import nn

from petlsparse.adapters.edges import edge_space
from petlsparse.adapters.models import PlacedAdapters
from petlsparse.adapters.tuned import TunedModel
from petlsparse.backbones import load_backbone
from petlsparse.backbones.stream import ResidualStream
from petlsparse.cohorts.placements import StackedPlacements
from petlsparse.data.types import Dataset
from petlsparse.errors import Problem, UserError
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.methods import AdapterMethodSettings, AdaptersSettings, LinearProbeSettings, ScoreSettings
from petlsparse.recipe.schema import AdapterRun, Run
from petlsparse.studies.assembly import Assembly, examples_of, shared_data, source_fingerprints
from petlsparse.studies.cached_features import feature_loaders
from petlsparse.studies.flops import flops_per_example
from petlsparse.studies.scoring import Scoring, score_label, scored_edges, scoring_flops
from petlsparse.studies.study import Study
from petlsparse.studies.tuner import Tuner
from petlsparse.studies.tuners import METHODS
from petlsparse.tracking.progress import Progress
from petlsparse.training.method import StandardTraining
from petlsparse.training.parameter_groups import roles
from petlsparse.training.result import RunResult
from petlsparse.training.seeding import random_stream

FROZEN_DTYPES: Mapping[str, torch.dtype | None] = MappingProxyType({"float32": None, "bf16": torch.bfloat16})
"""`backbone.frozen_precision` -> what frozen values are rounded to."""


def assemble(
    run: Run, device: torch.device, execution: Execution, resumed_from: Mapping[str, str] = MappingProxyType({})
) -> Assembly:
    """Data at the backbone's size, backbone and method of a run, on the device.

    Raises UserError for data, backbone or method that the run cannot have.
    """
    return assemble_all([run], device, execution, [resumed_from])[0]


def assemble_all(
    runs: Sequence[Run], device: torch.device, execution: Execution, resumed_from: Sequence[Mapping[str, str]]
) -> list[Assembly]:
    """`assemble` for runs with the same data and backbone: they share the backbone, and what is cached of it."""
    runs = cast("Sequence[AdapterRun]", runs)
    first = runs[0]
    backbone = load_backbone(
        first.backbone.name,
        pretrained=first.backbone.pretrained,
        image_size=first.backbone.image_size,
        generator=random_stream(first.seed, "init"),
        mean=first.backbone.mean,
        std=first.backbone.std,
    )
    if first.data.image_size not in (None, backbone.image_size):
        message = f"images take the size of the backbone, {backbone.image_size}; set backbone.image_size instead"
        raise UserError(Problem(message, "data.image_size", str(first.data.image_size)))
    fingerprints = {  # before anything is trained
        "backbone_fingerprint": backbone.fingerprint,
        "forward_fingerprint": backbone.forward_fingerprint,
    }
    dataset = shared_data(first.data, image_size=backbone.image_size, channels=backbone.channels)
    tuners = [METHODS[run.method.kind] for run in runs]
    scoring = partial(Scoring, backbone, dataset, device=device)
    models = [_model(run, backbone, dataset.classes, scoring).to(device) for run in runs]
    warnings: list[str] = []
    loaders, cache_note = feature_loaders(
        first,
        models,
        dataset,
        device,
        execution,
        backbone=fingerprints,
        resumed_from=resumed_from[0].get("frozen_values"),
        warn=warnings.append,
    )
    return [
        Assembly(
            StandardTraining(model),
            dataset,
            cost=_cost(run, model, dataset),
            roles=roles(
                [parameter for parameter in model.parameters() if parameter.requires_grad],
                head=set(model.head.parameters()),
                above=model.stream.layers_above(),
            ),
            pixel_mean=backbone.mean,
            pixel_std=backbone.std,
            provenance=fingerprints | source_fingerprints(run),
            runtime_choices={"frozen_values": cache_note},
            derived=tuner.derived(model),
            loaders=loaders,
            export=partial(tuner.export, model),
            files=tuner.files(model),
            final_rows=partial(tuner.rows, model),
            warnings=warnings,
        )
        for run, tuner, model in zip(runs, tuners, models, strict=True)
    ]


def _cost(run: AdapterRun, model: TunedModel, dataset: Dataset) -> dict[str, float]:
    total, backbone = sum(p.numel() for p in model.parameters()), model.stream
    flops = flops_per_example(model, (backbone.channels, backbone.image_size, backbone.image_size))
    trains, method = METHODS[run.method.kind].trains, run.method
    cost = {
        "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad) if trains else 0,
        "total_parameters": total,
        "active_parameters": total,
        "inference_flops": flops.inference,
        "training_flops": flops.training * examples_of(run, dataset) if trains else 0,
    }
    if isinstance(method, ScoreSettings) or (isinstance(method, AdaptersSettings) and method.score is not None):
        rank = cast("PlacedAdapters", model).ranks[0] if isinstance(method, AdaptersSettings) else method.rank
        cost["scoring_flops"] = scoring_flops(method, backbone, rank, dataset, flops.inference)
    return cost


def computed(
    run: Run, assembly: Assembly, device: torch.device, progress: Callable[[Progress], None]
) -> RunResult | None:
    """The scores of all edges as rows of the `edges` table, of a run that asks for nothing else; None of others."""
    if not isinstance(run.method, ScoreSettings):
        return None
    settings, start = run.method, time.perf_counter()
    stream = cast("TunedModel", assembly.method.model).stream
    scoring = Scoring(stream, assembly.dataset, settings, run.seed, {"rank": settings.rank}, device)
    maps = scored_edges(settings.scores, scoring, lambda done, all_of_them: progress(Progress(done, all_of_them, 1)))
    rows = [
        {**edge._asdict(), "kind": edge.kind, "score_name": name, "value": values[edge.source][edge.target]}
        for name, values in zip(map(score_label, settings.scores), maps, strict=True)
        for edge in edge_space(stream.nodes)
    ]
    return RunResult("done", rows={"edges": rows}, cost={"train_seconds": time.perf_counter() - start})


def _model(run: AdapterRun, backbone: ResidualStream, classes: int, scoring: Callable[..., Scoring]) -> TunedModel:
    tuner, frozen_dtype = METHODS[run.method.kind], FROZEN_DTYPES[run.backbone.frozen_precision]
    _check_rounding(tuner, frozen_dtype)
    return tuner.build(
        run.method,
        backbone,
        classes,
        generator=random_stream(run.seed, "adapters"),
        head_generator=random_stream(run.seed, "head"),
        frozen_dtype=frozen_dtype,
        scoring=scoring,
    )


def _check_rounding(tuner: Tuner, frozen_dtype: torch.dtype | None) -> None:
    if frozen_dtype is not None and not tuner.freezes:
        message = "the method leaves no values of the frozen backbone that could be rounded; only float32 is possible"
        raise UserError(Problem(message, "backbone.frozen_precision", "bf16"))


def check_method(settings: AdapterMethodSettings, model: TunedModel) -> None:
    """Raises UserError if the method asks for what the model's backbone does not have."""
    tuner = METHODS[settings.kind]
    _check_rounding(tuner, model.frozen_dtype)
    tuner.check(settings, model.stream)


def _stack(models: Sequence[nn.Module]) -> StackedPlacements:
    return StackedPlacements(cast("Sequence[PlacedAdapters]", models))  # others have no cohort key


def _without_weights(run: Run) -> Run:
    run = cast("AdapterRun", run)
    return run.model_copy(update={"backbone": run.backbone.model_copy(update={"pretrained": False})})


STUDY = Study(
    assemble=assemble_all,
    check_method=check_method,
    plain_method=LinearProbeSettings(),
    model=lambda run: cast("AdapterRun", run).backbone,
    without_weights=_without_weights,
    shares_loaders=True,
    compute=computed,
    stack=_stack,
)
