"""How a run is optimized: optimizer, learning-rate schedule and the length and arithmetic of training."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator

from petlsparse.recipe.durations import Duration
from petlsparse.recipe.fields import (
    BelowOne,
    Count,
    Fraction,
    NonNegative,
    Positive,
    PositiveDuration,
    Share,
    Shares,
    Table,
)


class Sgd(Table):
    """Stochastic gradient descent with (Nesterov) momentum."""

    name: Literal["sgd"] = "sgd"
    lr: Positive
    momentum: BelowOne = 0.9
    nesterov: bool = Field(default=True, validate_default=True)
    weight_decay: NonNegative = 0.0

    @field_validator("nesterov")
    @classmethod
    def _has_momentum(cls, nesterov: bool, info: ValidationInfo) -> bool:
        if nesterov and info.data.get("momentum") == 0:
            raise ValueError("should be false when momentum is 0")
        return nesterov


class Adam(Table):
    """Adam; weight decay is added to the gradient."""

    name: Literal["adam"] = "adam"
    lr: Positive
    beta1: BelowOne = 0.9
    beta2: BelowOne = 0.999
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0


class AdamW(Table):
    """Adam with decoupled weight decay."""

    name: Literal["adamw"] = "adamw"
    lr: Positive
    beta1: BelowOne = 0.9
    beta2: BelowOne = 0.999
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.01


class Constant(Table):
    """The learning rate stays as it is after the warm-up, which rises linearly from 0 exclusive."""

    name: Literal["constant"] = "constant"
    warmup: Duration = Duration(0, "steps")


class Step(Table):
    """The learning rate is multiplied by `factor` at each milestone, a fraction of training."""

    name: Literal["step"] = "step"
    warmup: Duration = Duration(0, "steps")
    milestones: Shares = (0.5, 0.75)
    factor: Share = 0.1

    @field_validator("milestones")
    @classmethod
    def _increase(cls, milestones: tuple[float, ...]) -> tuple[float, ...]:
        if list(milestones) != sorted(set(milestones)):
            raise ValueError("should increase")
        return milestones


class Cosine(Table):
    """The learning rate follows half a cosine down to `final_fraction` of its peak."""

    name: Literal["cosine"] = "cosine"
    warmup: Duration = Duration(0, "steps")
    final_fraction: Fraction = 0.0


class Training(Table):
    """Batches, length, evaluation and arithmetic of training."""

    batch_size: Count = 64
    duration: PositiveDuration
    evaluate_every: PositiveDuration = Duration(1, "epochs")
    precision: Literal["float32", "tf32", "bf16"] = "float32"
    label_smoothing: BelowOne = 0.0
    deterministic: bool = True


Optimizer: TypeAlias = Annotated[Sgd | Adam | AdamW, Field(discriminator="name")]
Schedule: TypeAlias = Annotated[Constant | Step | Cosine, Field(discriminator="name")]
