"""dst-sweep: which weights to prune while training a sparse network from scratch (arXiv 2306.12230)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import cast

import torch
from torch import nn

from petlsparse.cohorts.models import Stack
from petlsparse.cohorts.sparse import SparseCohort
from petlsparse.errors import Problem, UserError
from petlsparse.networks import build_network
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.methods import DenseSettings, DstSettings, SparseMethodSettings, StaticSettings
from petlsparse.recipe.schema import Run, SparseRun
from petlsparse.registry import calling, resolve
from petlsparse.sparsity import CRITERIA, DROP_SCHEDULES, GROWTHS
from petlsparse.sparsity.backends import choose_backends
from petlsparse.sparsity.criteria import as_criterion
from petlsparse.sparsity.csr import convertible, to_dense_state_dict
from petlsparse.sparsity.csr_layer import CsrLayer
from petlsparse.sparsity.distributions import layer_counts
from petlsparse.sparsity.geometry import geometries
from petlsparse.sparsity.growth import as_growth
from petlsparse.sparsity.maskable import maskable
from petlsparse.sparsity.sparse_training import SparseTraining
from petlsparse.sparsity.topology import UpdateRules
from petlsparse.sparsity.updates import TopologyUpdates
from petlsparse.studies.assembly import Assembly, examples_of, shared_data, source_fingerprints, total_steps
from petlsparse.studies.crossovers import crossover
from petlsparse.studies.flops import flops_per_example
from petlsparse.studies.study import Study
from petlsparse.training.hooks import Hooks
from petlsparse.training.method import Method, StandardTraining
from petlsparse.training.parameter_groups import roles
from petlsparse.training.seeding import random_stream, seeded


def assemble(
    run: Run, device: torch.device, execution: Execution, resumed_from: Mapping[str, str] = MappingProxyType({})
) -> Assembly:
    """Data, network and method of a run, on the device.

    Raises UserError for data, network, density or backend that the run cannot have.
    """
    run = cast("SparseRun", run)
    dataset = shared_data(run.data)
    shape = cast("tuple[int, int, int]", tuple(dataset.train.images.shape[1:]))
    with seeded(run.seed, "init"):
        network = build_network(run.network.name, shape, dataset.classes, **run.network.arguments())
    steps = total_steps(run, len(dataset.train))
    shapes = {name: tuple(weight.shape) for name, weight in maskable(network).items()}
    total = sum(p.numel() for p in network.parameters())
    active = {} if isinstance(run.method, DenseSettings) else _counts(run.method, network)
    inactive = sum(math.prod(shapes[name]) - count for name, count in active.items())
    updates = (
        topology_updates(run.method, steps, random_stream(run.seed, "growth"))
        if isinstance(run.method, DstSettings)
        else None
    )
    share = updates.count / steps if updates is not None and updates.rules.growth.reads_gradient else 0.0
    with calling(run.network.name, "network.name"):
        flops = flops_per_example(network, shape, active, dense_gradient_share=share)
    network.to(device)
    backends = _backends(run, network, active, shape, device, execution, resumed_from.get("backends"))
    method = _method(run, network, active, updates, backends)
    return Assembly(
        method,
        dataset,
        cost={
            "trainable_parameters": total - inactive,
            "total_parameters": total,
            "active_parameters": total - inactive,
            "inference_flops": flops.inference,
            "training_flops": flops.training * examples_of(run, dataset),
        },
        roles=roles(method.parameters(), weights={m.values for m in network.modules() if isinstance(m, CsrLayer)}),
        provenance=source_fingerprints(run),
        runtime_choices={"backends": json.dumps(backends)} if backends else {},
        export=partial(to_dense_state_dict, shapes=shapes),
    )


def _backends(
    run: SparseRun,
    network: nn.Module,
    active: Mapping[str, int],
    shape: Sequence[int],
    device: torch.device,
    execution: Execution,
    resumed_from: str | None,
) -> dict[str, str]:
    """Backend of every layer that is made sparse: as in the checkpoint to be continued, else as the command says.

    What `auto` chooses may differ between machines, so a run that was begun keeps its choice.

    Raises:
        UserError: truly sparse layers are asked for, or in the checkpoint, and cannot do what the run asks of them.
    """
    if isinstance(run.method, DenseSettings):
        return {}
    obstacle = _obstacle(run, device)
    if resumed_from is not None:
        chosen = cast("dict[str, str]", json.loads(resumed_from))
        if obstacle and "csr" in chosen.values():
            message = f"the run was begun with truly sparse layers; {obstacle}: continue as before, or use --fresh"
            raise UserError(Problem(message, "--backend", "csr"))
        return chosen
    if obstacle and execution.backend == "csr":
        raise UserError(Problem(f"{obstacle}; use --backend auto or masked", "--backend", "csr"))
    return choose_backends(
        execution.backend,
        {name: tuple(weight.shape) for name, weight in maskable(network).items()},
        active,
        geometries=geometries(network, [] if obstacle else convertible(network), shape),
        crossover=partial(crossover, batch_size=run.training.batch_size),
    )


def _obstacle(run: SparseRun, device: torch.device) -> str | None:
    """Why no layer of the run can hold its active weights only."""
    if device.type != "cpu" or run.training.precision != "float32":
        return "truly sparse layers compute on the CPU in float32"
    if isinstance(run.method, DstSettings) and run.method.optimizer_state == "dense":
        return 'truly sparse layers keep no state of inactive weights, as method.optimizer_state = "dense" wants'
    return None


def _method(
    run: SparseRun,
    network: nn.Module,
    active: Mapping[str, int],
    updates: TopologyUpdates | None,
    backends: Mapping[str, str],
) -> StandardTraining | SparseTraining:
    if isinstance(run.method, DenseSettings):
        return StandardTraining(network)
    return SparseTraining(
        network,
        active,
        mask_generator=random_stream(run.seed, "masks"),
        updates=updates,
        optimizer_state=run.method.optimizer_state if isinstance(run.method, DstSettings) else "masked",
        backends=backends,
    )


def topology_updates(settings: DstSettings, steps: int, generator: torch.Generator) -> TopologyUpdates:
    """The topology updates of a training of so many steps, by its settings."""
    criterion = as_criterion(resolve(CRITERIA, settings.criterion.name, "criterion"))
    growth = as_growth(resolve(GROWTHS, settings.growth.name, "growth rule"))
    return TopologyUpdates(
        rules=UpdateRules(
            criterion.configured(**settings.criterion.arguments()),
            growth.configured(**settings.growth.arguments()),
            settings.scope,
        ),
        generator=generator,
        total_steps=steps,
        update_period=settings.update_period,
        drop_fraction=settings.drop_fraction,
        drop_schedule=resolve(DROP_SCHEDULES, settings.drop_schedule, "drop schedule"),
        update_stop=settings.update_stop,
        update_last_step=settings.update_last_step,
        update_point=settings.update_point,
        regrown=settings.regrown,
    )


def _counts(settings: StaticSettings | DstSettings, network: nn.Module) -> dict[str, int]:
    shapes = {name: tuple(weight.shape) for name, weight in maskable(network).items()}
    if not shapes:
        message = "the network has no linear or convolutional layer, so that none of its weights can be sparse"
        raise UserError(Problem(message, "method.kind", settings.kind))
    return layer_counts(shapes, settings.density, settings.distribution)


def check_method(settings: SparseMethodSettings, model: nn.Module) -> None:
    """Raises UserError for a density that the network cannot have, if nothing can be sparse, and for rules that fail.

    Rules are tried on a few weights.
    """
    if not isinstance(settings, DenseSettings):
        _counts(settings, model)
    if isinstance(settings, DstSettings):
        rules = topology_updates(settings, settings.update_period, torch.Generator()).rules
        with calling(settings.criterion.name, "method.criterion"):
            rules.criterion.trial()
        with calling(settings.growth.name, "method.growth"):
            rules.growth.trial()


def _sparse_hooks(methods: Sequence[Method], stack: Stack) -> Hooks:
    return SparseCohort(methods, stack.parameters)


def _assemble_all(
    runs: Sequence[Run], device: torch.device, execution: Execution, resumed_from: Sequence[Mapping[str, str]]
) -> list[Assembly]:
    return [assemble(run, device, execution, choices) for run, choices in zip(runs, resumed_from, strict=True)]


STUDY = Study(
    assemble=_assemble_all,
    check_method=check_method,
    plain_method=DenseSettings(),
    model=lambda run: cast("SparseRun", run).network,
    hooks=_sparse_hooks,
)
