"""FLOPs per example against arithmetic by hand, and against what torch dispatches on real tensors."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from petlsparse.adapters.lora import LoraModel
from petlsparse.adapters.models import PlacedAdapters
from petlsparse.adapters.tuned import FullFinetuningModel
from petlsparse.backbones import load_backbone
from petlsparse.networks import NETWORKS, build_network
from petlsparse.sparsity.maskable import maskable
from petlsparse.studies import flops
from petlsparse.studies.flops import Flops, flops_per_example
from tests.adapters.toys import CLASSES, WIDTH, generator, placed, tiny_stream

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

LENET5 = {  # weights, and places where each is used
    "conv1": (20 * 25, 24 * 24),  # 28x28 by 5x5 leaves 24x24
    "conv2": (50 * 20 * 25, 8 * 8),  # pooled to 12x12, leaves 8x8
    "fc3": (800 * 500, 1),
    "fc4": (500 * 10, 1),
}


def of_stream(model: PlacedAdapters | FullFinetuningModel) -> Flops:
    return flops_per_example(model, (3, 4, 4))


def test_a_linear_probe_costs_one_forward_and_the_heads_gradient() -> None:
    assert of_stream(placed([])) == (FORWARD, FORWARD + HEAD)


@pytest.mark.parametrize(
    ("edges", "base"), [([(0, 4)], 0), ([(6, 4)], ATTENTION + MLP), ([(6, 4), (5, 4), (4, 4)], ATTENTION + MLP)]
)
def test_inference_costs_the_forward_the_adapters_and_the_base_pass_beyond_the_first_write(
    edges: list[tuple[int, int]], base: int
) -> None:
    assert of_stream(placed(edges)).inference == FORWARD + base + len(edges) * ADAPTER


def test_training_goes_back_to_the_lowest_write_and_not_below() -> None:
    # Above node 4 lie one attention and one MLP; their weights are frozen, so one backward of the activations each:
    # a linear layer costs as much again, the two products of attention (both factors depend on the input) twice.
    backward_stream = PRODUCTS + 2 * MATCHING + LAST_MLP
    # In the adapter both weights and both inputs: the source is frozen, but the norm on the way to it is trained.
    backward_adapter = 2 * ADAPTER
    cost = of_stream(placed([(0, 4)]))
    assert cost.training - cost.inference == backward_stream + backward_adapter + 2 * HEAD


def test_full_fine_tuning_costs_three_forwards_but_for_the_pixels_gradient() -> None:
    cost = of_stream(FullFinetuningModel(tiny_stream(), CLASSES, head_generator=generator()).double())
    assert cost == (FORWARD, 3 * FORWARD - EMBED)


def test_a_network_from_scratch_costs_three_forwards_but_for_the_pixels_gradient() -> None:
    forward = sum(2 * weights * places for weights, places in LENET5.values())
    pixels = 2 * math.prod(LENET5["conv1"])
    assert flops_per_example(build_network("lenet5", (1, 28, 28), 10), (1, 28, 28)) == (forward, 3 * forward - pixels)


def test_a_sparse_layer_costs_what_its_active_weights_do_in_all_three_products() -> None:
    active = {name: weights // 10 if name == "conv1" else weights // 20 for name, (weights, _) in LENET5.items()}
    macs = {name: active[name] * places for name, (_, places) in LENET5.items()}
    forward = 2 * sum(macs.values())
    cost = flops_per_example(build_network("lenet5", (1, 28, 28), 10), (1, 28, 28), active)
    assert cost == (forward, 3 * forward - 2 * macs["conv1"])


def test_an_update_that_reads_the_gradient_needs_the_dense_weight_gradient() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(20, 50, bias=False))
    dense, sparse = 2 * 1000, 2 * 100
    assert flops_per_example(network, (1, 4, 5)).training == 2 * dense
    assert flops_per_example(network, (1, 4, 5), {"1": 100}).training == 2 * sparse
    # Of every four steps one has the dense weight gradient.
    every_fourth = flops_per_example(network, (1, 4, 5), {"1": 100}, dense_gradient_share=0.25)
    assert every_fourth == (sparse, (4 * sparse + 3 * sparse + dense) / 4)


@pytest.mark.parametrize(
    ("model", "shape"), [(placed([(0, 4), (6, 4)]), (3, 4, 4)), (build_network("lenet5", (1, 28, 28), 10), (1, 28, 28))]
)
def test_a_large_model_is_counted_without_computing_and_to_the_same(
    model: nn.Module, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, devices = {name: tensor.clone() for name, tensor in model.state_dict().items()}, set()
    watched = model.register_forward_pre_hook(lambda _, inputs: devices.add(inputs[0].device.type))
    small = flops_per_example(model, shape)
    monkeypatch.setattr(flops, "SMALL", 0)
    assert flops_per_example(model, shape) == small
    watched.remove()
    assert devices == {"cpu", "meta"}
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_layer_that_is_exempt_needs_nothing_more_at_an_update() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(20, 50))
    assert flops_per_example(network, (1, 4, 5), {"1": 1000}, dense_gradient_share=0.5).training == 4000


def test_strides_groups_and_layers_used_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
            self.shared = nn.Linear(9, 9)

        def forward(self, x: Tensor) -> Tensor:
            return self.shared(self.shared(self.conv(x).flatten(2)))

    weights, places = 6 * 2 * 9, 3 * 3
    conv, shared = 2 * weights * places, 2 * 2 * 6 * 81
    assert flops_per_example(Twice(), (4, 6, 6)) == (conv + shared, 2 * conv + 3 * shared)
    conv, shared = 2 * 8 * places, 2 * 2 * 6 * 5
    assert flops_per_example(Twice(), (4, 6, 6), {"conv": 8, "shared": 5}) == (conv + shared, 2 * conv + 3 * shared)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_costs_what_torch_dispatches_layer_by_layer(name: str, sparse: bool) -> None:
    shape = (3, 32, 32)
    model = build_network(name, shape, 10).eval()
    forward, whole = dispatched(model, torch.zeros(1, *shape))
    sizes = {layer: weight.numel() for layer, weight in maskable(model).items()}
    active = {layer: size * (index % 3 + 1) // 7 for index, (layer, size) in enumerate(sizes.items())} if sparse else {}
    share = 0.01

    def weighted(flops: dict[str, int], extra: float) -> float:
        inside = sum(flops[layer] * (1 - active[layer] / sizes[layer]) for layer in active)
        regained = sum(forward[layer] * (1 - active[layer] / sizes[layer]) for layer in active)  # a weight gradient
        return flops[""] - inside + extra * regained

    found = flops_per_example(model, shape, active, dense_gradient_share=share)
    assert found.inference == pytest.approx(weighted(forward, 0), rel=1e-12)
    assert found.training == pytest.approx(weighted(whole, share), rel=1e-12)


BACKBONES = {"vit-micro": 32, "vit_tiny_patch16_224": 64, "eva02_tiny_patch14_224": 56}  # pixels


@pytest.mark.parametrize(("name", "image_size"), BACKBONES.items())
def test_every_kind_of_backbone_costs_what_torch_dispatches(name: str, image_size: int) -> None:
    stream = load_backbone(name, pretrained=False, image_size=image_size)
    seeds = {"generator": generator(), "head_generator": generator()}
    shape = (stream.channels, stream.image_size, stream.image_size)
    last = stream.nodes - 1
    low_rank = {"targets": ["proj", "fc2"], "rank": 4, "alpha": 4.0, "dropout": 0.1, "init": "kaiming"}
    for build in [
        lambda: PlacedAdapters(stream, [], CLASSES, **seeds),
        lambda: PlacedAdapters(stream, [(last - 3, last - 2), (last, last - 4)], CLASSES, **seeds),
        lambda: LoraModel(stream, CLASSES, **low_rank, **seeds),
        lambda: FullFinetuningModel(stream, CLASSES, head_generator=generator()),
    ]:
        model = build().eval()
        forward, whole = dispatched(model, torch.zeros(1, *shape))
        assert flops_per_example(model, shape) == (forward[""], whole[""])


def dispatched(model: nn.Module, images: Tensor) -> tuple[dict[str, int], dict[str, int]]:
    """FLOPs of a forward, and of a forward and backward pass that is really computed: of each layer, "" is all."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        logits = model(images)
        forward = by_layer(counter)
        logits.sum().backward()
    return forward, by_layer(counter)


def by_layer(counter: FlopCounterMode) -> dict[str, int]:
    counts = {name.partition(".")[2]: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    return {**counts, "": counter.get_total_flops()}


def test_attention_is_counted_alike_in_both_studies() -> None:
    from_scratch = flops_per_example(build_network("vit-micro", (3, 32, 32), 10), (3, 32, 32))
    tuned = FullFinetuningModel(load_backbone("vit-micro", pretrained=False), 10, head_generator=generator())
    last_mlp_for_other_tokens = 2 * 16 * 2 * 96 * 384  # adapter-search computes it for the class token alone
    adapted = flops_per_example(tuned, (3, 32, 32))
    assert from_scratch.inference - adapted.inference == last_mlp_for_other_tokens
    assert from_scratch.training - adapted.training == 3 * last_mlp_for_other_tokens


def test_counting_leaves_the_model_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8, 3))
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.random.get_rng_state()
    flops_per_example(model, (1, 4, 4), {"0": 3})
    assert [module.training for module in model] == [True, False, True, True, True]
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(random_state, torch.random.get_rng_state())
    assert not any(module._forward_hooks for module in model)
