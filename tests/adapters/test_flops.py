"""FLOPs per example against arithmetic by hand."""

from __future__ import annotations

import pytest

from petlsparse.adapters.flops import flops_per_example
from petlsparse.adapters.models import FullFineTuning

from .toys import CLASSES, WIDTH, generator, placed, tiny_stream

# The tiny stream: 4 patches of 2x2 pixels and a class token, width 12, two heads, MLP of twice the width.
T, D, R, HIDDEN = 5, WIDTH, 3, 2 * WIDTH
EMBED = 2 * 4 * (3 * 2 * 2) * D
PRODUCTS = 2 * T * D * 3 * D + 2 * T * D * D  # qkv and projection
MATCHING = 2 * (2 * T * T * D)  # scores and weighted sum, over both heads
ATTENTION = PRODUCTS + MATCHING
MLP = 2 * (2 * T * D * HIDDEN)
LAST_MLP = MLP // T  # of the class token alone, which is all that is pooled
ADAPTER = 2 * (2 * T * D * R)
HEAD = 2 * D * CLASSES
FORWARD = EMBED + 3 * ATTENTION + 2 * MLP + LAST_MLP + HEAD


def test_a_linear_probe_costs_one_forward_and_the_heads_gradient() -> None:
    assert flops_per_example(placed([])) == (FORWARD, FORWARD + HEAD)


@pytest.mark.parametrize(
    ("edges", "base"), [([(0, 4)], 0), ([(6, 4)], ATTENTION + MLP), ([(6, 4), (5, 4), (4, 4)], ATTENTION + MLP)]
)
def test_inference_costs_the_forward_the_adapters_and_the_base_pass_beyond_the_first_write(
    edges: list[tuple[int, int]], base: int
) -> None:
    assert flops_per_example(placed(edges)).inference == FORWARD + base + len(edges) * ADAPTER


def test_training_goes_back_to_the_lowest_write_and_not_below() -> None:
    # Above node 4 lie one attention and one MLP; their weights are frozen, so one backward of the activations each:
    # a linear layer costs as much again, the two products of attention (both factors depend on the input) twice.
    backward_stream = PRODUCTS + 2 * MATCHING + LAST_MLP
    # In the adapter both weights and both inputs: the source is frozen, but the norm on the way to it is trained.
    backward_adapter = 2 * ADAPTER
    cost = flops_per_example(placed([(0, 4)]))
    assert cost.training - cost.inference == backward_stream + backward_adapter + 2 * HEAD


def test_full_fine_tuning_costs_three_forwards_but_for_the_pixels_gradient() -> None:
    cost = flops_per_example(FullFineTuning(tiny_stream(), CLASSES, head_generator=generator()).double())
    assert cost == (FORWARD, 3 * FORWARD - EMBED)
