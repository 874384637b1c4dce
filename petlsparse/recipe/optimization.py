"""How a run is optimized: optimizer, learning-rate schedule and the length and arithmetic of training."""

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from petlsparse.recipe.durations import Duration
from petlsparse.recipe.fields import Name, PositiveDuration
from petlsparse.settings import (
    Count,
    Fraction,
    FractionBelowOne,
    HashNeutral,
    NonNegative,
    Positive,
    PositiveFraction,
    PositiveFractions,
    SettingsTable,
)


class _OptimizerSettings(SettingsTable):
    """What all optimizers have."""

    name: str
    """Which one."""
    lr: Positive
    """Learning rate at its peak."""
    head_lr: Annotated[Positive | None, HashNeutral(None)] = None
    """That of the classification head on a backbone; `lr` unless given."""
    layer_decay: Annotated[PositiveFraction, HashNeutral(1.0)] = 1.0
    """Full fine-tuning: what `lr` is multiplied by once for every layer above, blocks and head."""
    decay_norms_and_biases: Annotated[bool, HashNeutral(True)] = True
    """Whether weight decay is also for what is no matrix or kernel: norms, biases, scales."""


class SgdSettings(_OptimizerSettings):
    """Stochastic gradient descent with (Nesterov) momentum."""

    name: Literal["sgd"] = "sgd"
    momentum: FractionBelowOne = 0.9
    """Of the running mean of gradients."""
    nesterov: bool = Field(default=True, validate_default=True)
    """Nesterov's form of momentum."""
    weight_decay: NonNegative = 0.0
    """Times the weight, added to its gradient."""

    @field_validator("nesterov")
    @classmethod
    def _has_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            raise ValueError("should be false when momentum is 0")
        return nesterov


class AdamSettings(_OptimizerSettings):
    """Adam; weight decay is added to the gradient."""

    name: Literal["adam"] = "adam"
    beta1: FractionBelowOne = 0.9
    """Decay of the mean of gradients."""
    beta2: FractionBelowOne = 0.999
    """Decay of the mean of their squares."""
    eps: Positive = 1e-8
    """Added to the denominator."""
    weight_decay: NonNegative = 0.0
    """Times the weight, added to its gradient."""


class AdamWSettings(_OptimizerSettings):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"] = "adamw"
    beta1: FractionBelowOne = 0.9
    """Decay of the mean of gradients."""
    beta2: FractionBelowOne = 0.999
    """Decay of the mean of their squares."""
    eps: Positive = 1e-8
    """Added to the denominator."""
    weight_decay: NonNegative = 0.01
    """Times learning rate and weight, taken off the weight."""


class ConstantSettings(SettingsTable):
    """The learning rate stays as it is after the warm-up."""

    name: Literal["constant"] = "constant"
    warmup: Duration = Duration(0, "steps")
    """The learning rate rises linearly from 0 exclusive."""


class StepSettings(SettingsTable):
    """The learning rate is multiplied by `factor` at each milestone, a fraction of training."""

    name: Literal["step"] = "step"
    warmup: Duration = Duration(0, "steps")
    """The learning rate rises linearly from 0 exclusive."""
    milestones: PositiveFractions = (0.5, 0.75)
    """Shares of training, the warm-up aside, after which the learning rate falls."""
    factor: PositiveFraction = 0.1
    """What it is multiplied by at each milestone."""

    @field_validator("milestones")
    @classmethod
    def _increase(cls, milestones: tuple[float, ...]) -> tuple[float, ...]:
        if list(milestones) != sorted(set(milestones)):
            raise ValueError("should increase")
        return milestones


class CosineSettings(SettingsTable):
    """The learning rate follows half a cosine down to `final_fraction` of its peak."""

    name: Literal["cosine"] = "cosine"
    warmup: Duration = Duration(0, "steps")
    """The learning rate rises linearly from 0 exclusive."""
    final_fraction: Fraction = 0.0
    """What is left of the peak at the end."""


SELECT_BY = "accuracy"
"""The metric that selects weights unless one is named."""


class TrainingSettings(SettingsTable):
    """Batches, length, evaluation and arithmetic of training."""

    batch_size: Count = 64
    """Training examples of an optimizer step."""
    duration: PositiveDuration
    """Length of training."""
    evaluate_every: PositiveDuration = Duration(1, "epochs")
    """From one look at the validation part to the next."""
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    """Arithmetic of training; tf32 on CUDA only."""
    label_smoothing: FractionBelowOne = 0.0
    """Share of the target that is spread evenly over the classes."""
    deterministic: bool = True
    """Whether only deterministic kernels are used."""
    select_by: Annotated[str, AfterValidator(Name("metric")), HashNeutral("accuracy")] = SELECT_BY
    """The metric whose highest value on the validation part says which weights are best."""


OptimizerSettings: TypeAlias = Annotated[SgdSettings | AdamSettings | AdamWSettings, Field(discriminator="name")]
ScheduleSettings: TypeAlias = Annotated[ConstantSettings | StepSettings | CosineSettings, Field(discriminator="name")]
