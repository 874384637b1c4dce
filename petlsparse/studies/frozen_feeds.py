"""What placements of adapters train on instead of images: values of their frozen backbone, computed once per image."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import nullcontext
from typing import IO

import torch
from torch import Tensor, nn

from petlsparse.adapters.models import PlacedAdapters, frozen_values
from petlsparse.data.types import Dataset, Split
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.schema import AdapterRun
from petlsparse.studies.execution import examples_of
from petlsparse.studies.frozen_cache import FrozenCache, NoRoom, Slot
from petlsparse.training.feeds import FrozenValues, Images

CHUNK = 64
"""Images per forward pass that fills the cache. Fixed: the last bits of a float depend on the batch it was part of."""

DEVICE_SHARE = 0.5
"""Of free GPU memory: what takes more stays in main memory, and every batch is copied."""

Feeds = tuple[FrozenValues, FrozenValues]
"""Of training and validation."""


def frozen_feeds(
    run: AdapterRun,
    model: nn.Module,
    dataset: Dataset,
    device: torch.device,
    execution: Execution,
    *,
    backbone: str,
    earlier: str | None = None,
) -> tuple[Feeds | None, str]:
    """The feeds of a run that trains on cached values, or None; and what the `frozen_values` column says about it.

    Nothing is cached where that would change the result, or take longer than it saves.

    Args:
        run: gives arithmetic, precision of the values, and what may speak against a cache.
        model: on `device`.
        dataset: on the CPU.
        device: computes the values, and holds them if it has room.
        execution: where the cache is, and how large it may be.
        backbone: fingerprint of the backbone's weights.
        earlier: what the column said of the checkpoint to be continued. A run goes on as it began: its last digits
            would change, as a batch of cached values was computed together with other images.
    """
    if earlier is not None and earlier.startswith("none"):
        return None, earlier
    if not isinstance(model, PlacedAdapters):
        return None, "none: full fine-tuning trains the backbone"
    if execution.cache_folder is None or execution.cache_memory == 0:
        reason = "--cache-memory is off"
    elif run.data.augment != "none":
        reason = "images are augmented"
    elif examples_of(run, dataset) < len(dataset.train):
        reason = "training does not see every image"
    else:
        cache = FrozenCache(execution.cache_folder, execution.cache_memory)
        try:
            return _take(cache, run, model, dataset, device, backbone), run.backbone.frozen_precision
        except NoRoom as no_room:
            reason = str(no_room)
    return None, f"none: {reason}" + (f"; begun with {earlier}" if earlier else "")


def _take(
    cache: FrozenCache, run: AdapterRun, model: PlacedAdapters, dataset: Dataset, device: torch.device, backbone: str
) -> Feeds:
    stream, dtype = model.stream, model.frozen_dtype or torch.float32
    splits = {"train": dataset.train, "val": dataset.val}
    group = _group(run, model, dataset, device, backbone)
    slots = {
        (name, node): Slot(f"{group}-{name}-{node}-{shape[0]}", (len(split), *shape), dtype)
        for name, split in splits.items()
        for node, shape in _row_shapes(model, device).items()
    }

    def fill(files: Mapping[Slot, IO[bytes]]) -> None:
        for name, split in splits.items():
            wanted = {node: files[slot] for (of, node), slot in slots.items() if of == name and slot in files}
            if not wanted:
                continue
            images = Images(split.to(device), stream.mean, stream.std)
            for start in range(0, len(split), CHUNK):
                with _autocast(run, device):
                    chunk = images.batch(slice(start, start + CHUNK))
                    values = frozen_values(stream, chunk, wanted, dtype, pooled=model.pooled)
                for node, file in wanted.items():
                    file.write(_bytes(values[node]))

    tensors = cache.take(group, slots.values(), fill)

    def feed(name: str, split: Split) -> FrozenValues:
        values = {node: tensors[slots[name, node]] for node in model.frozen_nodes}
        return FrozenValues(_placed(values, device), split.labels.to(device))

    return feed("train", dataset.train), feed("val", dataset.val)


def _group(run: AdapterRun, model: PlacedAdapters, dataset: Dataset, device: torch.device, backbone: str) -> str:
    """A name for everything but the node that the values depend on. The data's fingerprint covers pixels and size."""
    facts = [
        dataset.fingerprint,
        model.stream.mean,
        model.stream.std,
        backbone,
        str(model.frozen_dtype),
        run.training.precision,
        run.training.deterministic,
        device.type,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:12]


def _row_shapes(model: PlacedAdapters, device: torch.device) -> dict[int, tuple[int, ...]]:
    """Node -> (T, d)."""
    stream = model.stream
    blank = torch.zeros(1, stream.channels, stream.image_size, stream.image_size, device=device)
    with torch.no_grad():
        tokens = stream.embed(blank)
    shapes = dict.fromkeys(model.frozen_nodes, tuple(tokens.shape[1:]))
    if model.pooled:
        shapes[stream.nodes - 1] = tuple(stream.read_by_pool(tokens).shape[1:])
    return shapes


def _autocast(run: AdapterRun, device: torch.device) -> torch.autocast | nullcontext[None]:
    return torch.autocast(device.type, torch.bfloat16) if run.training.precision == "bf16" else nullcontext()


def _bytes(values: Tensor) -> memoryview:
    return values.cpu().contiguous().view(torch.uint8).numpy().data


def _placed(values: Mapping[int, Tensor], device: torch.device) -> Mapping[int, Tensor]:
    """On the device if there is room to spare, else where they are."""
    if device.type != "cuda":
        return values
    free, _ = torch.cuda.mem_get_info(device)
    if sum(tensor.nbytes for tensor in values.values()) > DEVICE_SHARE * free:
        return values
    return {node: tensor.to(device) for node, tensor in values.items()}
