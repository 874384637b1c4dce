"""Tuners of what has a rank: adapters on edges, and LoRA."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from petlsparse.adapters.adapter import adapter_parameters, check_rank
from petlsparse.adapters.edges import Edge, check_feedback
from petlsparse.adapters.importance import edge_rows
from petlsparse.adapters.lora import LoraModel, layer_ranks, target_layers
from petlsparse.adapters.models import PlacedAdapters, check_ranks
from petlsparse.adapters.placements import ScoreMap, select_edges
from petlsparse.adapters.ranks import largest_rank
from petlsparse.adapters.tuned import TunedModel
from petlsparse.backbones.stream import ResidualStream
from petlsparse.recipe import methods
from petlsparse.studies.scoring import Scoring, scored_edges
from petlsparse.studies.tuner import Tuner
from petlsparse.training.result import Row

ADAPTER_OPTIONS = {"rank", "activation", "layer_norm", "bias", "scale", "scale_kind", "dropout", "init"}
"""The settings of the method that are arguments of `Adapter`."""


class AdaptersTuner(Tuner):
    """Adapters on edges of the residual stream."""

    freezes = True

    def edges(self, settings: methods.AdaptersSettings, nodes: int, scores: ScoreMap | None = None) -> tuple[Edge, ...]:
        """The edges of the placement in canonical order. Raises UserError if `nodes` do not have them."""
        return select_edges(settings.placement.name, nodes, scores, **settings.placement.arguments())

    def build(
        self,
        settings: methods.AdaptersSettings,
        backbone: ResidualStream,
        classes: int,
        *,
        scoring: Callable[..., Scoring],
        **how: Any,
    ) -> TunedModel:
        """A model with one adapter on each edge; see `Tuner.build`."""
        own = self._options(settings, backbone)
        scores = None
        if settings.score is not None:
            (scores,) = scored_edges([settings.score], scoring(settings, settings.scoring_seed, own))
        edges = self.edges(settings, backbone.nodes, scores)
        return PlacedAdapters(
            backbone, edges, classes, ranks=_ranks(settings), feedback=settings.feedback, **own, **how
        )

    def check(self, settings: methods.AdaptersSettings, backbone: ResidualStream) -> None:
        """Raises UserError unless the backbone has the nodes of all edges; of what goes by a score, enough edges."""
        edges = self._some_edges(settings, backbone.nodes)
        if not settings.feedback and settings.score is None:
            check_feedback(edges)
        check_ranks(_ranks(settings), edges, backbone.width)
        check_rank(self._options(settings, backbone)["rank"], backbone.width)

    def _some_edges(self, settings: methods.AdaptersSettings, nodes: int) -> tuple[Edge, ...]:
        """The edges, or if they are chosen by scores as many of them."""
        any_scores = [[1.0] * nodes] * nodes if settings.score is not None else None
        return self.edges(settings, nodes, any_scores)

    def _options(self, settings: methods.AdaptersSettings, backbone: ResidualStream) -> dict[str, Any]:
        """Arguments of every adapter, the rank being the largest within a budget if there is one."""
        own, width = settings.model_dump(include=ADAPTER_OPTIONS), backbone.width
        if settings.parameters is not None:
            count = len(self._some_edges(settings, backbone.nodes))

            def of_rank(rank: int) -> int:
                return count * adapter_parameters(width, **{**own, "rank": rank})

            own["rank"] = largest_rank(settings.parameters, of_rank, width)
        return own

    def derived(self, model: TunedModel) -> dict[str, Any]:
        """The edges as JSON, for the column `edges`, and the rank."""
        placed = cast("PlacedAdapters", model)
        return {"edges": json.dumps(placed.edges)} | _common_rank(placed.ranks)

    def rows(self, model: TunedModel) -> dict[str, list[Row]]:
        """A row of the `edges` table for each adapter; see `edge_rows`."""
        return {"edges": edge_rows(cast("PlacedAdapters", model))}


def _ranks(settings: methods.AdaptersSettings) -> dict[tuple[int, int], int]:
    return {(source, target): rank for source, target, rank in settings.ranks or ()}


def _common_rank(ranks: Sequence[int]) -> dict[str, Any]:
    """The column `rank`, which is null where ranks differ or nothing has one."""
    return {"rank": ranks[0]} if len(set(ranks)) == 1 else {}


class LoraTuner(Tuner):
    """LoRA, by peft."""

    def build(
        self,
        settings: methods.LoraSettings,
        backbone: ResidualStream,
        classes: int,
        *,
        frozen_dtype: torch.dtype | None,
        scoring: Callable[..., Scoring],
        **how: Any,
    ) -> TunedModel:
        """A model with two matrices beside each that is targeted; see `Tuner.build`."""
        return LoraModel(backbone, classes, **settings.model_dump(exclude={"kind"}), **how)

    def check(self, settings: methods.LoraSettings, backbone: ResidualStream) -> None:
        """Raises UserError unless the backbone has the targeted layers, and these may have such ranks."""
        names = target_layers(backbone, settings.targets)
        layer_ranks(backbone, names, **settings.model_dump(include={"rank", "ranks", "parameters"}))

    def derived(self, model: TunedModel) -> dict[str, Any]:
        """The rank, for the column `rank`."""
        return _common_rank(cast("LoraModel", model).ranks)

    def export(self, model: TunedModel, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors by the names that peft gives them."""
        return cast("LoraModel", model).to_peft_state_dict(tensors)

    def files(self, model: TunedModel) -> dict[str, str]:
        """The text of `adapter_config.json`, as peft reads it."""
        return {"adapter_config.json": cast("LoraModel", model).peft_config()}
