"""What placements of adapters train on instead of images: values of their frozen backbone, computed once per image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import IO

import torch
from torch import Tensor

from petlsparse.adapters.models import frozen_features, needed_features
from petlsparse.adapters.tuned import TunedModel
from petlsparse.backbones.stream import ResidualStream
from petlsparse.data.types import Dataset, Split
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.schema import AdapterRun
from petlsparse.studies.assembly import examples_of
from petlsparse.studies.tensor_cache import CachedTensor, CacheFull, TensorCache
from petlsparse.training.loaders import CachedFeatures, Images, has_room, placed

IMAGES_AT_A_TIME = 64
"""Images per forward pass that fills the cache. Fixed: the last bits of a float depend on the batch it was part of."""

Loaders = tuple[CachedFeatures, CachedFeatures]
"""Of training and validation."""


def feature_loaders(
    run: AdapterRun,
    models: Sequence[TunedModel],
    dataset: Dataset,
    device: torch.device,
    execution: Execution,
    *,
    backbone: Mapping[str, str],
    resumed_from: str | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> tuple[Loaders | None, str]:
    """The loaders of a run that trains on cached values, or None; and what the `frozen_values` column says about it.

    Several runs that are trained as one have one set of loaders, with all that any of them needs.

    Nothing is cached where that would change the result, or take longer than it saves.

    Args:
        run: gives arithmetic, precision of the values, and what may speak against a cache.
        models: over one backbone, on `device`.
        dataset: on the CPU.
        device: computes the values, and holds them if it has room.
        execution: where the cache is, and how large it may be.
        backbone: fingerprints of the backbone's weights and forward pass.
        resumed_from: what the column said of the checkpoint to be continued. A run goes on as it began: its last digits
            would change, as a batch of cached values was computed together with other images.
        warn: told what went wrong without harm.
    """
    if resumed_from is not None and resumed_from.startswith("none"):
        return None, resumed_from
    if not all(model.frozen_nodes for model in models):
        return None, f"none: {run.method.kind} changes the backbone"
    if execution.cache_folder is None or execution.cache_memory == 0:
        reason = "--cache-memory is off"
    elif run.data.augment != "none":
        reason = "images are augmented"
    elif examples_of(run, dataset) < len(dataset.train):
        reason = "training does not see every image"
    else:
        cache = TensorCache(execution.cache_folder, execution.cache_memory, warn)
        try:
            return _take(cache, run, models, dataset, device, backbone), run.backbone.frozen_precision
        except CacheFull as full:
            reason = str(full)
    return None, f"none: {reason}" + (f"; begun with {resumed_from}" if resumed_from else "")


def _take(
    cache: TensorCache,
    run: AdapterRun,
    models: Sequence[TunedModel],
    dataset: Dataset,
    device: torch.device,
    backbone: Mapping[str, str],
) -> Loaders:
    stream, dtype = models[0].stream, models[0].frozen_dtype or torch.float32
    nodes, pooled = needed_features(models)
    splits = {"train": dataset.train, "val": dataset.val}
    group = _group(run, models[0], dataset, device, backbone)
    entries = {
        (name, node): CachedTensor(f"{group}-{name}-{node}-{shape[0]}", (len(split), *shape), dtype)
        for name, split in splits.items()
        for node, shape in _row_shapes(stream, nodes, pooled=pooled).items()
    }

    def fill(files: Mapping[CachedTensor, IO[bytes]]) -> None:
        for name, split in splits.items():
            wanted = {node: files[entry] for (of, node), entry in entries.items() if of == name and entry in files}
            if not wanted:
                continue
            images = Images(placed(split, device), stream.mean, stream.std)
            for start in range(0, len(split), IMAGES_AT_A_TIME):
                with _autocast(run, device):
                    chunk = images.batch(slice(start, start + IMAGES_AT_A_TIME))
                    values = frozen_features(stream, chunk, wanted, dtype, pooled=pooled)
                for node, file in wanted.items():
                    file.write(_bytes(values[node]))

    tensors = cache.take(group, entries.values(), fill)

    def loader(name: str, split: Split) -> CachedFeatures:
        values = {node: tensors[entries[name, node]] for node in nodes}
        return CachedFeatures(_placed(values, device), split.labels.to(device))

    return loader("train", dataset.train), loader("val", dataset.val)


def _group(
    run: AdapterRun, model: TunedModel, dataset: Dataset, device: torch.device, backbone: Mapping[str, str]
) -> str:
    """A name for everything but the node that the values depend on. The data's fingerprint covers pixels and size."""
    identity = [
        dataset.fingerprint,
        dict(backbone),
        str(model.frozen_dtype),
        run.training.precision,
        run.training.deterministic,
        device.type,
    ]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


def _row_shapes(stream: ResidualStream, nodes: Sequence[int], *, pooled: bool) -> dict[int, tuple[int, ...]]:
    """Node -> (T, d)."""
    device = next(stream.parameters()).device
    blank = torch.zeros(1, stream.channels, stream.image_size, stream.image_size, device=device)
    with torch.no_grad():
        tokens, _ = stream.embed(blank)
    shapes = dict.fromkeys(nodes, tuple(tokens.shape[1:]))
    if pooled and stream.nodes - 1 in shapes:
        shapes[stream.nodes - 1] = tuple(stream.read_by_pool(tokens).shape[1:])
    return shapes


def _autocast(run: AdapterRun, device: torch.device) -> torch.autocast | nullcontext[None]:
    return torch.autocast(device.type, torch.bfloat16) if run.training.precision == "bf16" else nullcontext()


def _bytes(values: Tensor) -> memoryview:
    return values.cpu().contiguous().view(torch.uint8).numpy().data


def _placed(values: Mapping[int, Tensor], device: torch.device) -> Mapping[int, Tensor]:
    """On the device if there is room to spare, else where they are."""
    if device.type != "cuda" or not has_room(device, sum(tensor.nbytes for tensor in values.values())):
        return values
    return {node: tensor.to(device) for node, tensor in values.items()}
