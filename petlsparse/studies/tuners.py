"""How a backbone is adapted to a task: a tuner for each kind of method of adapter-search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from petlsparse.adapters.models import PlacedAdapters
from petlsparse.adapters.node_probe import NodeProbe, check_node
from petlsparse.adapters.partial import PartiallyTrainedModel, biases, norms
from petlsparse.adapters.tuned import FullFinetuningModel, TunedModel
from petlsparse.backbones.stream import ResidualStream
from petlsparse.recipe import methods
from petlsparse.studies.low_rank_tuners import AdaptersTuner, LoraTuner
from petlsparse.studies.scoring import Scoring
from petlsparse.studies.tuner import Tuner


class LinearProbeTuner(Tuner):
    """The head alone: a placement without edges."""

    freezes = True

    def build(
        self, settings: Any, backbone: ResidualStream, classes: int, *, scoring: Callable[..., Scoring], **how: Any
    ) -> TunedModel:
        """A model without adapters; see `Tuner.build`."""
        return PlacedAdapters(backbone, (), classes, **how)


class ScoreTuner(LinearProbeTuner):
    """Nothing is trained: edges are scored."""

    trains = False


class FullFinetuningTuner(Tuner):
    """Everything is trained."""

    def build(
        self, settings: Any, backbone: ResidualStream, classes: int, *, head_generator: torch.Generator, **how: Any
    ) -> TunedModel:
        """A model whose backbone is trained; see `Tuner.build`."""
        return FullFinetuningModel(backbone, classes, head_generator=head_generator)


class PartialTuner(Tuner):
    """Some of the backbone's own parameters: those that `trained` finds in it, by name."""

    def __init__(self, trained: Callable[[ResidualStream], Mapping[str, nn.Parameter]]) -> None:
        self._trained = trained

    def build(
        self, settings: Any, backbone: ResidualStream, classes: int, *, head_generator: torch.Generator, **how: Any
    ) -> TunedModel:
        """A model of whose backbone these are trained; see `Tuner.build`."""
        trained = self._trained(backbone).values()
        return PartiallyTrainedModel(backbone, trained, classes, head_generator=head_generator)

    def check(self, settings: Any, backbone: ResidualStream) -> None:
        """Raises UserError if the backbone has none of these."""
        self._trained(backbone)


class LayerWiseProbeTuner(Tuner):
    """A head on a node of the frozen backbone."""

    freezes = True

    def build(
        self,
        settings: methods.LayerWiseProbeSettings,
        backbone: ResidualStream,
        classes: int,
        *,
        head_generator: torch.Generator,
        frozen_dtype: torch.dtype | None,
        **how: Any,
    ) -> TunedModel:
        """A model that computes the backbone up to the node; see `Tuner.build`."""
        return NodeProbe(backbone, settings.node, classes, head_generator=head_generator, frozen_dtype=frozen_dtype)

    def check(self, settings: methods.LayerWiseProbeSettings, backbone: ResidualStream) -> None:
        """Raises UserError unless the backbone has the node, and pools there what knows of the image."""
        check_node(settings.node, backbone)


METHODS: Mapping[str, Tuner] = {
    "linear-probe": LinearProbeTuner(),
    "full-finetuning": FullFinetuningTuner(),
    "adapters": AdaptersTuner(),
    "lora": LoraTuner(),
    "score": ScoreTuner(),
    "bitfit": PartialTuner(biases),
    "layer-norm": PartialTuner(norms),
    "layer-wise-probe": LayerWiseProbeTuner(),
}
"""`method.kind` -> its tuner."""
