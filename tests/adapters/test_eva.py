"""Adapters over timm's Eva blocks: two passes written out with timm's own blocks, alone and stacked."""

from __future__ import annotations

import pytest
import torch
from timm.models.eva import Eva
from torch import Tensor, nn
from torch.nn import functional as F

from petlsparse.adapters.models import PlacedAdapters
from petlsparse.backbones.timm_streams import TimmStream, as_stream
from petlsparse.cohorts.placements import StackedPlacements

from .toys import CLASSES, WIDTH, generator, images, placed, stir

FAMILIES = {
    "rotary": {"use_rot_pos_emb": True},
    "rotary, learned for each block": {"use_rot_pos_emb": True, "rope_type": "mixed", "init_values": 0.5},
    "post-norm": {"use_post_norm": True},
    "class token": {"use_rot_pos_emb": True, "global_pool": "token"},
}
# Between blocks only, so that timm's whole blocks serve as the oracle: all kinds of edges but parallel ones.
EDGES = [(0, 2), (2, 2), (6, 2), (0, 4), (4, 4), (2, 6), (6, 6), (4, 0)]
LATE = [(2, 4), (6, 4), (6, 6)]


def eva_stream(options: dict[str, object]) -> TimmStream:
    """7 nodes of width 12 over four patches of a 4x4 image and a class token, float64, every weight random."""
    eva = Eva(img_size=4, patch_size=2, embed_dim=WIDTH, depth=3, num_heads=1, mlp_ratio=2, num_classes=0, **options)
    source = generator(1)
    for parameter in eva.parameters():
        nn.init.normal_(parameter, std=0.3, generator=source)
    return as_stream(eva.double(), mean=(0.5,) * 3, std=(0.5,) * 3)


def by_blocks(model: PlacedAdapters, pixels: Tensor) -> Tensor:
    """Logits from two complete passes through timm's blocks."""
    eva = model.stream.vit
    x, table = eva._pos_embed(eva.patch_embed(pixels))
    tables = table if eva.rope_mixed else [table] * len(eva.blocks)
    base = [x]
    for block, own in zip(eva.blocks, tables, strict=True):
        base.append(block(base[-1], rope=own))
    main: list[Tensor] = []
    for k in range(len(base)):
        u = base[0] if k == 0 else eva.blocks[k - 1](main[-1], rope=tables[k - 1])
        here = [edge for edge in model.edges if edge.target == 2 * k]
        values = dict(enumerate(base[k + 1 :], k + 1)) | {k: u} | dict(enumerate(main))
        writes = [model.adapters[str(edge)](values[edge.source // 2]) for edge in here]
        main.append(sum(writes, u))
    return model.head(eva.forward_head(eva.norm(main[-1]), pre_logits=True))


@pytest.mark.parametrize("options", FAMILIES.values(), ids=FAMILIES.keys())
def test_placements_alone_and_stacked_compute_what_two_passes_of_blocks_do(options: dict[str, object]) -> None:
    stream = eva_stream(options)
    models = [stir(placed(edges, stream, head_generator=generator(i))) for i, edges in enumerate((EDGES, LATE, EDGES))]
    pixels = images(4)
    labels = torch.arange(len(pixels)) % CLASSES
    expected = [by_blocks(model, pixels) for model in models]
    trained = [[p for p in model.parameters() if p.requires_grad] for model in models]
    wanted = [torch.autograd.grad(F.cross_entropy(e, labels), own) for e, own in zip(expected, trained, strict=True)]
    for model, logits, own, gradients in zip(models, expected, trained, wanted, strict=True):
        found = model(pixels)
        torch.testing.assert_close(found, logits, rtol=1e-9, atol=1e-9)
        for a, b in zip(torch.autograd.grad(F.cross_entropy(found, labels), own), gradients, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)
    stacked = StackedPlacements(models)(pixels[None], torch.zeros(3, dtype=torch.int64))
    torch.testing.assert_close(stacked, torch.stack(expected), rtol=1e-9, atol=1e-9)
    values = {node: value[None] for model in models for node, value in model.frozen(pixels).items()}
    cached = StackedPlacements(models)(values, torch.zeros(3, dtype=torch.int64))
    torch.testing.assert_close(cached, torch.stack(expected), rtol=1e-9, atol=1e-9)
