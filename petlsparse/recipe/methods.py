"""The methods that the two studies compare, discriminated by `kind`."""

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from petlsparse.recipe.fields import Count, Index, Name, NonNegative, Pairs, Share, Table


class Dense(Table):
    """All weights are trained."""

    kind: Literal["dense"] = "dense"


class Static(Table):
    """A sparse network whose topology is drawn once and kept."""

    kind: Literal["static"] = "static"
    density: Share
    distribution: Annotated[str, AfterValidator(Name("distributions"))] = "erk"


class Dst(Table):
    """Dynamic sparse training: weights are pruned by a criterion and regrown while training.

    `update_period` counts optimizer steps, `update_stop` is a fraction of training.
    """

    kind: Literal["dst"] = "dst"
    density: Share
    distribution: Annotated[str, AfterValidator(Name("distributions"))] = "erk"
    criterion: Annotated[str, AfterValidator(Name("criteria"))]
    growth: Annotated[str, AfterValidator(Name("growths"))]
    update_period: Count = 800
    drop_fraction: Share = 0.5
    drop_schedule: Annotated[str, AfterValidator(Name("drop_schedules"))] = "cosine"
    update_stop: Share = 1.0
    update_last_step: bool = False
    update_point: Literal["auto", "before-step", "after-step"] = "auto"
    state: Literal["masked", "dense"] = "masked"
    regrown: Literal["zero", "keep"] = "zero"
    mest_lambda: NonNegative = 1.0


class LinearProbe(Table):
    """Only the classification head is trained."""

    kind: Literal["linear-probe"] = "linear-probe"


class FullFinetuning(Table):
    """The backbone and the classification head are trained."""

    kind: Literal["full-finetuning"] = "full-finetuning"


# What each known placement is told. A placement added later checks its arguments itself.
_PLACEMENT_SETTINGS = {
    "explicit": {"edges"},
    "all-parallel": set(),
    "all-sequential": set(),
    "random": {"count", "edge_kind", "draw"},
    "first-k": {"count"},
    "last-k": {"count"},
}


class Adapters(Table):
    """Adapters on chosen edges (source node, target node) of the residual stream, trained with the head.

    `draw` numbers the random placements and is independent of the run's seed. `scale` is the initial value of
    the trained scale alpha.
    """

    kind: Literal["adapters"] = "adapters"
    placement: Annotated[str, AfterValidator(Name("placements"))]
    edges: Pairs = Field(default=(), validate_default=True)
    count: Count | None = Field(default=None, validate_default=True)
    edge_kind: Literal["any", "sequential", "parallel", "long-range", "recurrent"] = "any"
    draw: Index = 0
    rank: Count = 8
    activation: Literal["relu", "gelu"] = "relu"
    layer_norm: bool = True
    bias: bool = False
    scale: float = 1.0

    @field_validator("edges")
    @classmethod
    def _as_a_set(cls, edges: Pairs) -> Pairs:
        if len(set(edges)) < len(edges):
            raise ValueError("should name every edge once")
        return tuple(sorted(edges))  # the order carries no meaning: one set of edges, one run

    @field_validator("edges", "count", "edge_kind", "draw")
    @classmethod
    def _belongs_to_placement(cls, value: object, info: ValidationInfo) -> object:
        placement, setting = info.data.get("placement"), str(info.field_name)
        takes = _PLACEMENT_SETTINGS.get(placement or "")
        if takes is None:
            return value
        given = value != cls.model_fields[setting].default
        if given and setting not in takes:
            raise ValueError(f'has no meaning for placement "{placement}"; leave it out')
        if not given and setting in takes & {"edges", "count"}:
            raise ValueError(f'is required by placement "{placement}"')
        return value

    @field_validator("scale")
    @classmethod
    def _can_learn(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError(
                "should not be 0: with scale and up-projection both zero, every gradient of the adapter "
                "is zero and it stays frozen for ever"
            )
        return scale


SparseMethod: TypeAlias = Annotated[Dense | Static | Dst, Field(discriminator="kind")]
AdapterMethod: TypeAlias = Annotated[LinearProbe | FullFinetuning | Adapters, Field(discriminator="kind")]
