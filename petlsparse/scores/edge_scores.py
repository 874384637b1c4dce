"""Scores of all edges from one forward and one backward pass over some images, or from a few if memory is short."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from petlsparse.backbones.stream import ResidualStream
from petlsparse.errors import Problem, UserError
from petlsparse.scores.frozen_pass import FrozenPass, ScoringAdapter
from petlsparse.scores.score import Measure, Reduced, Score, Source
from petlsparse.scores.scoring_adapters import linear_map

Sums: TypeAlias = "dict[Measure | Reduced, Tensor]"
"""Of one source: what was added up, and what is made of it for several scores."""

MEMORY = 2 * 1024**3
"""Bytes that sums may take at once: all 625 gradients of a ViT-B/16 take 1.5 GB, all 6,561 of a ViT-g/14 52 GB."""


def edge_scores(
    scores: Mapping[str, Score],
    stream: ResidualStream,
    head: nn.Linear,
    batches: Callable[[], Iterable[tuple[Any, Tensor]]],
    *,
    adapter: ScoringAdapter = linear_map,
    memory: int = MEMORY,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, Tensor]:
    """Name -> the score of every edge, float64 (n, n) on the CPU, row = source, column = target.

    What is summed of a source takes memory, of as many sources at a time as there is room for: the images are passed
    through the network once for each such block.

    Args:
        scores: by name.
        stream: frozen.
        head: of the task, not of zeros.
        batches: the images and their labels, a few at a time, anew for every block; on the device of the stream.
        adapter: whose gradients are scored.
        memory: bytes that sums may take at once.
        progress: told how many of how many sources are scored.

    Raises:
        UserError: a head of zeros, values that are not finite, scores that are not finite, or not defined for these
            gradients.
    """
    measures = _measures(scores.values())
    found = {name: torch.empty(stream.nodes, stream.nodes, dtype=torch.float64) for name in scores}
    start = 0
    while start < stream.nodes:
        sums, images = _sums(measures, stream, head, batches(), adapter, start, memory)
        for node, of_source in sums.items():
            source = Source(node, images, stream, head)
            # What is made of a sum takes less room than the sum: it goes as soon as all that need it are computed.
            for name, values in _scored(scores, of_source, source).items():
                found[name][node] = values.to("cpu", torch.float64)
            of_source.clear()
            progress(node + 1, stream.nodes)
        start += len(sums)
    for name, values in found.items():
        if not values.isfinite().all():
            message = f"score {name} is not finite for {int((~values.isfinite()).sum())} of {values.numel()} edges"
            raise UserError(Problem(message, "method.score"))
    return found


def _measures(scores: Iterable[Score]) -> list[Measure]:
    asked = [measure for score in scores for measure in score.measures]
    return list(dict.fromkeys(each.measure if isinstance(each, Reduced) else each for each in asked))


def _sums(
    measures: list[Measure],
    stream: ResidualStream,
    head: nn.Linear,
    batches: Iterable[tuple[Any, Tensor]],
    adapter: ScoringAdapter,
    start: int,
    memory: int,
) -> tuple[dict[int, Sums], int]:
    """What is summed of as many sources from `start` on as there is room for, and over how many images."""
    if not measures:  # no score looks at images
        return {source: {} for source in range(start, stream.nodes)}, 0
    sums: dict[int, Sums] = {}
    images, stop = 0, stream.nodes
    for inputs, labels in batches:
        nodes = FrozenPass(stream, head, inputs, labels, adapter=adapter)
        for source in range(start, stop):
            if source not in sums:  # the first batch
                sums[source] = {measure: measure(nodes, source).clone() for measure in measures}
                room = memory // max(1, sum(total.nbytes for total in sums[start].values()))
                stop = min(stop, start + max(1, room))
                if source + 1 >= stop:
                    break
            else:
                for measure in measures:
                    sums[source][measure] += measure(nodes, source)
        images += len(labels)
        del nodes  # before the next pass takes memory
    return sums, images


def _scored(scores: Mapping[str, Score], sums: Sums, source: Source) -> dict[str, Tensor]:
    for each in dict.fromkeys(measure for score in scores.values() for measure in score.measures):
        if isinstance(each, Reduced):
            sums[each] = each.function(sums[each.measure])
    return {name: score.of(sums, source) for name, score in scores.items()}
