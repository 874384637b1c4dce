"""What does a step of adapter training cost on a ViT-S-sized backbone, beside LoRA, and what does a cache save?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import cycle

import peft
import timm
import torch
from torch import nn
from torch.nn import functional

from benchmarks.harness import Comparison, Contestant, Effort, compare, counted, matmul
from benchmarks.trainings import noise
from petlsparse.adapters.models import PlacedAdapters
from petlsparse.adapters.placements import select_edges
from petlsparse.adapters.tuned import FullFinetuningModel
from petlsparse.backbones import load_backbone
from petlsparse.backbones.stream import ResidualStream
from petlsparse.training.loaders import CachedFeatures, Images, Loader
from petlsparse.training.optimizers import adam

BACKBONE, TINY = "vit_small_patch16_224", "vit_tiny_patch16_224"
SIZES = ((64, 32), (112, 16))
"""Pixels and batch size; 64 is the multiple of the patch size above 56."""
CLASSES, RANK = 10, 8
BATCHES = 4
"""Batches that the examples make."""


def run(effort: Effort) -> Iterator[Comparison]:
    """Per image size: the step beside its peers, then what the frozen part of it costs."""
    for size, batch in [(32, 2)] if effort.quick else SIZES:
        yield from at_size(effort, TINY if effort.quick else BACKBONE, size, batch)


def at_size(effort: Effort, name: str, size: int, batch: int) -> Iterator[Comparison]:
    """The tables of one image size."""

    def fresh() -> ResidualStream:
        return load_backbone(name, pretrained=False, image_size=size)

    def step(label: str, model: nn.Module, loader: Loader, *, bf16: bool = False) -> Contestant:
        call = stepper(model, loader, batch, bf16=bf16)
        return Contestant(label, call, counted(call))

    stream, data = fresh(), noise((3, size, size), CLASSES, batch * BATCHES)
    images = Images(data, stream.mean, stream.std)
    tokens = batch * ((size // 16) ** 2 + 1)
    rounds, roof = effort.at_most(15), matmul(tokens, stream.width, 4 * stream.width)
    where = f"{name}, {size} px, batch {batch}"
    parallel, sequential = (select_edges(f"all-{kind}", stream.nodes) for kind in ("parallel", "sequential"))
    yield compare(
        f"a training step of {where}",
        [
            step(f"LoRA r={RANK} on qkv (peft)", lora(name, size), images),
            step(f"all-parallel r={RANK}", placed(stream, parallel), images),
            step(f"all-parallel r={RANK}, bf16", placed(stream, parallel), images, bf16=True),
            step(f"all-sequential r={RANK}", placed(stream, sequential), images),
            step("linear probe", placed(stream, ()), images),
            step("full fine-tuning", FullFinetuningModel(fresh(), CLASSES, head_generator=seed()), images),
        ],
        rounds=rounds,
        roof=roof,
        notes=["AdamW, float32 where nothing else is said, random weights; a head is trained in all of them"],
    )
    low, last = 2 * (stream.nodes - 1) // 3, stream.nodes - 1
    for written in ([low], range(low, last)):
        late = placed(stream, [(j - 1, j) for j in written])
        recurrent = placed(stream, [(j + 1, j) for j in written])
        yield compare(
            f"a training step of {len(written)} adapters, written to {low} and up of nodes 0 .. {last}, {where}",
            [
                step("from the node below, no cache", late, images),
                step("from the node below, cached", late, frozen_values(late, images)),
                step("from the node above (recurrent), no cache", recurrent, images),
                step("from the node above (recurrent), cached", recurrent, frozen_values(recurrent, images)),
            ],
            rounds=rounds,
            roof=roof,
            notes=["cached: the frozen network's values, float32 in memory, are there before the first step"],
        )


def frozen_values(model: PlacedAdapters, images: Images) -> CachedFeatures:
    """All that a cache holds of these images for this placement."""
    return CachedFeatures(model.frozen(images.batch(slice(None))), images.labels)


def stepper(model: nn.Module, loader: Loader, batch: int, *, bf16: bool = False) -> Callable[[], None]:
    """One training step on the next batch, in bf16 autocast if asked for."""
    model.train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = adam(parameters, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=1e-2, kind=torch.optim.AdamW)
    order = torch.randperm(len(loader.labels), generator=seed())
    chunks = cycle(torch.split(order, batch))

    def step() -> None:
        chosen = next(chunks)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(loader.batch(chosen))
        loss = functional.cross_entropy(logits.float(), loader.labels[chosen])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def placed(stream: ResidualStream, edges: Iterable[tuple[int, int]]) -> PlacedAdapters:
    """Adapters on a shared frozen stream."""
    return PlacedAdapters(stream, edges, CLASSES, generator=seed(), head_generator=seed(), rank=RANK)


def lora(name: str, size: int) -> nn.Module:
    """LoRA of peft on the attention's joint projection; the classifier is trained too."""
    vit = timm.create_model(name, pretrained=False, img_size=size, num_classes=CLASSES)
    config = peft.LoraConfig(r=RANK, lora_alpha=RANK, target_modules=["qkv"], modules_to_save=["head"])
    return peft.get_peft_model(vit, config)


def seed() -> torch.Generator:
    """The same numbers for everyone."""
    return torch.Generator().manual_seed(0)
