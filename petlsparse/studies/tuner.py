"""What a kind of method of adapter-search has to say: how its model is built, checked, recorded and kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from petlsparse.adapters.tuned import TunedModel
from petlsparse.backbones.stream import ResidualStream
from petlsparse.studies.scoring import Scoring
from petlsparse.training.result import Row


class Tuner(ABC):
    """One kind of method. `settings` are its table in the recipe."""

    freezes = False
    """Whether its models have `frozen_nodes`, whose values may be rounded and cached."""
    trains = True
    """Whether there is anything to train."""

    @abstractmethod
    def build(
        self,
        settings: Any,
        backbone: ResidualStream,
        classes: int,
        *,
        generator: torch.Generator,
        head_generator: torch.Generator,
        frozen_dtype: torch.dtype | None,
        scoring: Callable[..., Scoring],
    ) -> TunedModel:
        """The model with its initial weights, those of the head from a generator of their own.

        `scoring` makes of settings, seed and options of adapters what edges are scored by.

        Raises UserError as `check` does.
        """

    def check(self, settings: Any, backbone: ResidualStream) -> None:  # noqa: B027 - most kinds have nothing to check
        """Raises UserError if the method asks for what the backbone does not have."""

    def derived(self, model: TunedModel) -> dict[str, Any]:
        """What followed from the settings, such as drawn edges, by column of the `runs` table."""
        return {}

    def rows(self, model: TunedModel) -> dict[str, list[Row]]:
        """Rows to record of the trained model, by table."""
        return {}

    def export(self, model: TunedModel, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Trained tensors by the names that they have in files of kept weights."""
        return dict(tensors)

    def files(self, model: TunedModel) -> dict[str, str]:
        """Name -> text of files that belong to kept weights."""
        return {}
