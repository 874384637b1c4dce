"""The methods that the two studies compare, discriminated by `kind`."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    Field,
    PlainValidator,
    SerializeAsAny,
    ValidationInfo,
    field_validator,
    model_validator,
)

from petlsparse.adapters import PLACEMENTS
from petlsparse.recipe.fields import Name, OneOf
from petlsparse.registry import resolve
from petlsparse.settings import (
    Choice,
    Count,
    EdgeRank,
    Form,
    FractionBelowOne,
    HashNeutral,
    Index,
    LayerRank,
    Positive,
    PositiveFraction,
    SettingsTable,
    Steps,
)

DEFAULT_RANK = 8


class DenseSettings(SettingsTable):
    """All weights are trained."""

    kind: Literal["dense"] = "dense"


class StaticSettings(SettingsTable):
    """A sparse network whose topology is drawn once and kept."""

    kind: Literal["static"] = "static"
    density: PositiveFraction
    """Active weights of all maskable weights: those of linear layers and convolutions."""
    distribution: Annotated[str, AfterValidator(Name("distribution"))] = "erk"
    """How the active weights are shared out among the layers."""


class DstSettings(SettingsTable):
    """Dynamic sparse training: weights are pruned by a criterion and regrown while training."""

    kind: Literal["dst"] = "dst"
    density: PositiveFraction
    """Active weights of all maskable weights: those of linear layers and convolutions."""
    distribution: Annotated[str, AfterValidator(Name("distribution"))] = "erk"
    """How the active weights are shared out among the layers."""
    criterion: Annotated[SerializeAsAny[Choice], PlainValidator(OneOf("criterion"))]
    """Which active weights are pruned at an update."""
    scope: Literal["layer", "neuron", "global"] = "layer"
    """Where the least important weights are looked for: in a layer, in each output neuron, in all layers."""
    growth: Annotated[SerializeAsAny[Choice], PlainValidator(OneOf("growth rule"))]
    """Which inactive weights take their place."""
    update_period: Steps = 800
    """From one update of the topology to the next."""
    drop_fraction: PositiveFraction = 0.5
    """Active weights of a layer that the first update replaces."""
    drop_schedule: Annotated[str, AfterValidator(Name("drop schedule"))] = "cosine"
    """How the drop fraction falls over training."""
    update_stop: PositiveFraction = 1.0
    """The part of training in which there are updates."""
    update_last_step: bool = False
    """Whether an update may fall on the very last step, after which nothing is trained."""
    update_point: Literal["auto", "before-step", "after-step"] = "auto"
    """Before or after the optimizer's step; auto: before it for criteria that read the gradient."""
    optimizer_state: Literal["masked", "dense"] = "masked"
    """Optimizer state of inactive weights: zero, or left alone."""
    regrown: Literal["zero", "keep"] = "zero"
    """A weight pruned and grown by one update starts from zero, or keeps value and state."""


class LinearProbeSettings(SettingsTable):
    """Only the classification head is trained."""

    kind: Literal["linear-probe"] = "linear-probe"


class FullFinetuningSettings(SettingsTable):
    """The backbone and the classification head are trained."""

    kind: Literal["full-finetuning"] = "full-finetuning"


class BitFitSettings(SettingsTable):
    """The biases of the backbone and the classification head are trained."""

    kind: Literal["bitfit"] = "bitfit"


class LayerNormSettings(SettingsTable):
    """Weights and biases of the backbone's norms, and the classification head, are trained."""

    kind: Literal["layer-norm"] = "layer-norm"


class LayerWiseProbeSettings(SettingsTable):
    """Only a classification head is trained, on a node of the frozen backbone."""

    kind: Literal["layer-wise-probe"] = "layer-wise-probe"
    node: Index
    """Whose value goes through the backbone's final norm and pooling; the last one is what linear-probe reads."""


class ScoringSettings(SettingsTable):
    """How edges are scored before anything is trained."""

    scoring_images: Annotated[Count, HashNeutral(1024)] = 1024
    """At most so many training images, drawn where there are more."""
    scoring_head: Annotated[Literal["random", "probe"], HashNeutral("random")] = "random"
    """The head that the loss is of: random weights, or a linear probe trained on these images."""
    scoring_gradient: Annotated[Literal["linear", "bottleneck"], HashNeutral("linear")] = "linear"
    """Whose gradient: of a linear map of zeros, or of the up-projection of an adapter as it is trained."""
    scoring_sketch: Annotated[Count | None, HashNeutral(None)] = None
    """Gradients of the linear map are seen through random projections to so many dimensions; whole unless given."""


def _each_once(scores: tuple[Choice, ...]) -> tuple[Choice, ...]:
    if len(set(scores)) < len(scores):
        raise ValueError("should name every score once")
    return scores


class ScoreSettings(ScoringSettings):
    """Nothing is trained: all edges are scored, for a map of where adapters promise most."""

    kind: Literal["score"] = "score"
    scores: Annotated[
        tuple[Annotated[SerializeAsAny[Choice], PlainValidator(OneOf("score"))], ...],
        Field(strict=False, min_length=1),
        AfterValidator(_each_once),
        Form("list of names or tables", ('["srank"]', '[{ name = "srank", eta = 0.05 }]')),
    ]
    """Which; all from the same passes through the network."""
    rank: Count = 8
    """Width of the bottleneck whose gradient is scored, where it is that of an adapter."""


def _ranks(ranks: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...] | None:
    named = [place for *place, _ in ranks]
    if any(named.count(place) > 1 for place in named):
        raise ValueError("should give each its rank once")
    # Neither order nor what says the common rank again carries a meaning: one set of ranks, one run.
    return tuple(sorted(each for each in ranks if each[-1] != info.data.get("rank"))) or None


def _budget(parameters: int | None, info: ValidationInfo) -> int | None:
    if parameters is not None and (info.data.get("rank") != DEFAULT_RANK or info.data.get("ranks")):
        raise ValueError("should not be given with a rank: it follows from the parameters")
    return parameters


class AdaptersSettings(ScoringSettings):
    """Adapters on chosen edges (source node, target node) of the residual stream, trained with the head."""

    kind: Literal["adapters"] = "adapters"
    placement: Annotated[SerializeAsAny[Choice], PlainValidator(OneOf("placement"))]
    """How edges are chosen."""
    score: Annotated[Annotated[SerializeAsAny[Choice], PlainValidator(OneOf("score"))] | None, HashNeutral(None)] = None
    """What edges are chosen by, where the placement goes by a score."""
    scoring_seed: Annotated[Index, HashNeutral(1)] = 1
    """Draws images and head of the scoring, for all seeds of the run alike, so that these share a placement."""
    rank: Count = DEFAULT_RANK
    """Width of the bottleneck."""
    ranks: Annotated[
        Annotated[tuple[EdgeRank, ...], Field(strict=False), AfterValidator(_ranks)] | None,
        HashNeutral(None),
        Form("list of [source, target, rank]", ("[[8, 2, 16], [3, 4, 2]]",)),
    ] = None
    """Ranks of edges of the placement that have another."""
    parameters: Annotated[Count | None, AfterValidator(_budget), HashNeutral(None)] = None
    """In place of a rank: the largest with which all adapters, the head not counted, train at most so many."""
    activation: Literal["relu", "gelu"] = "relu"
    """Between the down- and the up-projection."""
    layer_norm: bool = True
    """Whether an adapter normalises what it reads."""
    bias: bool = False
    """Whether the projections have biases."""
    scale: float = 1.0
    """Initial value of the scale alpha; not 0."""
    scale_kind: Annotated[Literal["scalar", "channel", "fixed"], HashNeutral("scalar")] = "scalar"
    """A trained number, a trained vector of the backbone's width, or a number that stays."""
    dropout: Annotated[FractionBelowOne, HashNeutral(0.0)] = 0.0
    """Probability that an input of the up-projection is dropped, in training."""
    init: Annotated[Literal["kaiming", "houlsby", "bert", "xavier"], HashNeutral("kaiming")] = "kaiming"
    """Kaiming-uniform with the up-projection zero, or both projections drawn: normal with standard deviation 0.01 cut
    at twice that, or 0.02, or Xavier-uniform; then a fresh adapter already adds something."""
    feedback: Annotated[bool, HashNeutral(True)] = True
    """False is a control of equal cost: recurrent adapters read, of the first pass, the node that they write to."""

    @field_validator("scale")
    @classmethod
    def _can_learn(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError(
                "should not be 0: the adapter would add nothing, and where its up-projection is zero, too, as init "
                "kaiming has it, no gradient would ever reach it"
            )
        return scale

    @model_validator(mode="after")
    def _scores_where_it_chooses_by_them(self) -> Self:
        by_score = getattr(resolve(PLACEMENTS, self.placement.name, "placement"), "by_score", False)
        if by_score and self.score is None:
            raise ValueError(f'should have a score, such as "srank", for {self.placement.name} to choose by')
        given = [name for name in ("score", *ScoringSettings.model_fields) if name in self.model_fields_set]
        idle = [name for name in given if getattr(self, name) != type(self).model_fields[name].default]
        if not by_score and idle:
            raise ValueError(f"should not have {idle[0]}: {self.placement.name} looks at no score")
        if by_score and self.ranks:
            raise ValueError(f"should not have ranks: edges are not known before {self.placement.name} chooses them")
        if by_score and self.scoring_gradient == "bottleneck" and self.init != "kaiming":
            raise ValueError(
                'should have init = "kaiming" where scoring_gradient = "bottleneck": one pass of the frozen network '
                "scores only an adapter that adds nothing yet"
            )
        return self


def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    if "" in names or len(set(names)) < len(names):
        raise ValueError("should name every layer once")
    return tuple(sorted(names))  # the order carries no meaning


class LoraSettings(SettingsTable):
    """Low-rank adaptation by peft: a product of two trained matrices beside weights of the backbone, and the head."""

    kind: Literal["lora"] = "lora"
    targets: Annotated[tuple[str, ...], Field(strict=False, min_length=1), AfterValidator(_names)] = ("qkv",)
    """Linear layers of the blocks by the end of their name in the backbone: "qkv", "proj", "mlp.fc1"."""
    rank: Count = DEFAULT_RANK
    """Rows of the first matrix and columns of the second."""
    ranks: Annotated[
        Annotated[tuple[LayerRank, ...], Field(strict=False), AfterValidator(_ranks)] | None,
        HashNeutral(None),
        Form("list of [layer, rank]", ('[["blocks.0.attn.qkv", 16], ["fc1", 2]]',)),
    ] = None
    """Ranks of targeted layers that have another, alpha / rank staying what it is; layers are named as targets are."""
    parameters: Annotated[Count | None, AfterValidator(_budget), HashNeutral(None)] = None
    """In place of a rank: the largest with which all matrices, the head not counted, train at most so many."""
    alpha: Positive = 8.0
    """The product is scaled by alpha / rank."""
    dropout: FractionBelowOne = 0.0
    """Probability that an input of the first matrix is dropped."""
    init: Literal["kaiming", "gaussian"] = "kaiming"
    """The first matrix: uniform as peft has it, or normal with standard deviation 1 / rank; the second is zero."""


SparseMethodSettings: TypeAlias = Annotated[DenseSettings | StaticSettings | DstSettings, Field(discriminator="kind")]
AdapterMethodSettings: TypeAlias = Annotated[
    LinearProbeSettings
    | FullFinetuningSettings
    | AdaptersSettings
    | LoraSettings
    | BitFitSettings
    | LayerNormSettings
    | LayerWiseProbeSettings
    | ScoreSettings,
    Field(discriminator="kind"),
]
