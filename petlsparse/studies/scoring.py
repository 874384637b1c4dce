"""Scores of the edges of a backbone on a task: computed once for what they rest on, and found again by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor, nn

from petlsparse.adapters.adapter import Adapter, classification_head
from petlsparse.adapters.edges import Edge
from petlsparse.adapters.tuned import own_seed
from petlsparse.backbones.stream import ResidualStream
from petlsparse.data.augment import normalise
from petlsparse.data.types import Dataset, Split
from petlsparse.homes import cache_home
from petlsparse.recipe.identity import canonical_json
from petlsparse.recipe.methods import ScoringSettings
from petlsparse.registry import calling, is_file, resolve, source_fingerprint
from petlsparse.scores import SCORES
from petlsparse.scores.edge_scores import edge_scores
from petlsparse.scores.frozen_pass import ScoringAdapter
from petlsparse.scores.heads import probed_head
from petlsparse.scores.score import as_score
from petlsparse.scores.scoring_adapters import bottleneck, linear_map, sketch_of_linear_map
from petlsparse.settings import Choice
from petlsparse.tracking.atomic import write_bytes
from petlsparse.training.arithmetic import reference_arithmetic
from petlsparse.training.seeding import random_stream

IMAGES_AT_A_TIME = 8
"""Images of a pass: all that a ViT-B/16 needs to go back through them takes a gigabyte. Fixed: the last bits of a sum
depend on it."""

VERSION = 1
"""Of the scores: a new number where one of them changes, so that what was stored is not found any more."""


@dataclass(frozen=True)
class Scoring:
    """What scores rest on besides themselves: backbone, data, and how edges are scored.

    Attributes:
        backbone: frozen.
        dataset: its training part is looked at, nothing else.
        settings: how.
        seed: draws images, head and adapters.
        adapter_options: keyword arguments of `Adapter`, where the gradient is that of one.
        device: where scores are computed.
    """

    backbone: ResidualStream
    dataset: Dataset
    settings: ScoringSettings
    seed: int
    adapter_options: Mapping[str, object]
    device: torch.device

    def key(self, score: Choice) -> str:
        """24 hex of the content that a score of all edges rests on."""
        settings = {name: getattr(self.settings, name) for name in ScoringSettings.model_fields}
        about = {
            "version": VERSION,
            "backbone": [self.backbone.fingerprint, self.backbone.forward_fingerprint],
            "data": self.dataset.fingerprint,
            "scoring": settings,
            "adapter": dict(self.adapter_options) if self.settings.scoring_gradient == "bottleneck" else None,
            "seed": self.seed,
            "device": self.device.type,
            "score": score.model_dump(mode="json"),
            "source": source_fingerprint([score.name]) if is_file(score.name) else None,
        }
        return hashlib.sha256(canonical_json(about).encode()).hexdigest()[:24]

    def examples(self) -> Split:
        """The training images that are looked at, on the device."""
        part = self.dataset.train
        if len(part) > self.settings.scoring_images:
            order = torch.randperm(len(part), generator=random_stream(self.seed, "scoring-images"))
            part = part.take(order[: self.settings.scoring_images].sort().values)
        return part.to(self.device)

    def batches(self, examples: Split) -> Iterator[tuple[Tensor, Tensor]]:
        """Normalised images and their labels, a few at a time."""
        for start in range(0, len(examples), IMAGES_AT_A_TIME):
            these = examples.take(slice(start, start + IMAGES_AT_A_TIME))
            yield normalise(these.images, self.backbone.mean, self.backbone.std), these.labels

    def head(self, examples: Split) -> nn.Linear:
        """The head that the loss is of."""
        if self.settings.scoring_head == "random":
            drawn = random_stream(self.seed, "head")
            return classification_head(self.backbone.width, self.dataset.classes, drawn).to(self.device)
        with torch.no_grad():
            features = torch.cat([self.backbone(inputs) for inputs, _ in self.batches(examples)])
        return probed_head(features, examples.labels, self.dataset.classes)

    def adapter(self) -> ScoringAdapter:
        """Whose gradient is scored."""
        if self.settings.scoring_gradient == "bottleneck":
            seed = int(torch.randint(2**62, (), generator=random_stream(self.seed, "adapters")))

            def on(edge: Edge) -> Adapter:
                drawn = torch.Generator().manual_seed(own_seed(seed, str(edge)))
                options: dict[str, object] = dict(self.adapter_options)
                return Adapter(self.backbone.width, generator=drawn, **options).to(self.device)  # type: ignore[arg-type]

            return bottleneck(on)
        if self.settings.scoring_sketch is None:
            return linear_map
        drawn = random_stream(self.seed, "sketch")
        return sketch_of_linear_map(self.backbone.width, self.settings.scoring_sketch, drawn)


def scored_edges(
    scores: Sequence[Choice], scoring: Scoring, progress: Callable[[int, int], None] = lambda *_: None
) -> list[list[list[float]]]:
    """Of each score the map of all edges, n rows (sources) of n targets: found where it is stored, else computed.

    Where nothing can be stored, a full disk or a home that cannot be written to, it is computed every time.

    Raises:
        UserError: a score that fails, is not defined for these gradients, or not finite.
    """
    folder = cache_home() / "scores"
    keys = [scoring.key(score) for score in scores]
    with _one_at_a_time(folder, keys):
        found = {key: _read(folder / f"{key}.json", scoring.backbone.nodes) for key in keys}
        missing = [(key, score) for key, score in zip(keys, scores, strict=True) if found[key] is None]
        if missing:
            found |= _computed(missing, scoring, progress)
            for key, _ in missing:
                with suppress(OSError):
                    write_bytes(folder / f"{key}.json", json.dumps(found[key]).encode())
    return [values for key in keys if (values := found[key]) is not None]


@contextmanager
def _one_at_a_time(folder: Path, keys: Sequence[str]) -> Iterator[None]:
    """One who computes is enough: others wait for it, and find. Without a lock where there can be none."""
    name = hashlib.sha256(" ".join(keys).encode()).hexdigest()[:12]
    with ExitStack() as held:
        with suppress(OSError, NotImplementedError):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(folder / f"{name}.lock"))
        yield


def scoring_flops(
    settings: ScoringSettings, stream: ResidualStream, rank: int, dataset: Dataset, inference: float
) -> float:
    """Of the passes and the gradients of all adapters; not of spectra, and not less where a score needs less.

    A backward pass to the values of the stream costs what the forward pass does, `inference` per image.
    """
    images = min(len(dataset.train), settings.scoring_images)
    shape = stream.channels, stream.image_size, stream.image_size
    with torch.no_grad():
        tokens = stream.embed(torch.zeros(1, *shape, device=next(stream.parameters()).device))[0].shape[1]
    sides = {"linear": (settings.scoring_sketch or stream.width,) * 2, "bottleneck": (rank, stream.width)}
    read, write = sides[settings.scoring_gradient]
    products = 2.0 * stream.nodes**2 * tokens * read * write
    return images * (2 * inference + products)


def _computed(
    scores: Sequence[tuple[str, Choice]], scoring: Scoring, progress: Callable[[int, int], None]
) -> dict[str, list[list[float]] | None]:
    functions = {key: as_score(resolve(SCORES, score.name, "score"), **score.arguments()) for key, score in scores}
    examples = scoring.examples()
    own = [score.name for _, score in scores if is_file(score.name)]
    scoring.backbone.to(scoring.device)
    try:
        with reference_arithmetic(deterministic=True), calling(own[0] if own else "", "method.score"):
            maps = edge_scores(
                functions,
                scoring.backbone,
                scoring.head(examples),
                lambda: scoring.batches(examples),
                adapter=scoring.adapter(),
                progress=progress,
            )
    finally:
        scoring.backbone.to("cpu")  # where models are built
    return {key: values.tolist() for key, values in maps.items()}


def _read(file: Path, nodes: int) -> list[list[float]] | None:
    """A stored map; None where there is none, or one that is not whole."""
    try:
        values = json.loads(file.read_bytes())
        whole = len(values) == nodes and all(len(row) == nodes for row in values)
        return [[float(value) for value in row] for row in values] if whole else None
    except (OSError, ValueError, TypeError):
        return None


def score_label(score: Choice) -> str:
    """A score as tables name it: with those settings that are not the default."""
    given = {
        name: value
        for name, value in score.model_dump(mode="json").items()
        if name != "name" and value != type(score).model_fields[name].default
    }
    return f"{score.name}({', '.join(f'{name}={value}' for name, value in given.items())})" if given else score.name
