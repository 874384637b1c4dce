"""The optimizer of a run, and what its settings cannot mean for the run's method."""

from __future__ import annotations

from torch.optim import Optimizer

from petlsparse.errors import Problem, UserError
from petlsparse.recipe.methods import (
    BitFitSettings,
    FullFinetuningSettings,
    LayerNormSettings,
    LayerWiseProbeSettings,
    LinearProbeSettings,
)
from petlsparse.recipe.schema import Run
from petlsparse.studies.assembly import Assembly
from petlsparse.training.optimizers import OPTIMIZERS
from petlsparse.training.parameter_groups import parameter_groups

GROUP_SETTINGS = {"head_lr", "decay_norms_and_biases", "layer_decay"}
"""The settings that are of parameter groups; the others the optimizer takes itself."""
HEAD_ALONE = LinearProbeSettings | LayerWiseProbeSettings
BACKBONE = FullFinetuningSettings | BitFitSettings | LayerNormSettings
"""Methods that train the head alone, and those that train parameters of the backbone's own layers."""


def build_optimizer(run: Run, assembly: Assembly) -> Optimizer:
    """Over all that the run's method trains. Raises UserError for settings that have no meaning for it."""
    if problems := optimizer_problems(run):
        raise UserError(*problems)
    settings = run.optimizer
    of_groups = settings.model_dump(include=GROUP_SETTINGS)
    groups = parameter_groups(assembly.roles, lr=settings.lr, weight_decay=settings.weight_decay, **of_groups)
    return OPTIMIZERS[settings.name](groups, **settings.model_dump(exclude={"name", *GROUP_SETTINGS}))


def optimizer_problems(run: Run) -> list[Problem]:
    """Settings that would change nothing: two runs that differ in them alone would be one."""
    settings, problems = run.optimizer, []
    if settings.head_lr is not None and (run.study == "dst-sweep" or isinstance(run.method, HEAD_ALONE)):
        why = (
            "only the head is trained"
            if run.study == "adapter-search"
            else "nothing is pre-trained, the head as little"
        )
        message = f"{why}: use optimizer.lr, and leave this out"
        problems.append(Problem(message, "optimizer.head_lr", str(settings.head_lr)))
    if settings.layer_decay != 1 and not isinstance(run.method, BACKBONE):
        message = "has a meaning only where layers of the backbone are trained: full-finetuning, bitfit, layer-norm"
        problems.append(Problem(message, "optimizer.layer_decay", str(settings.layer_decay)))
    if not settings.decay_norms_and_biases and not settings.weight_decay:
        message = "has no meaning without weight decay; leave it out"
        problems.append(Problem(message, "optimizer.decay_norms_and_biases", "false"))
    return problems
