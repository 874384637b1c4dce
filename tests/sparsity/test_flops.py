"""FLOPs of networks small enough to count by hand."""

import pytest
import torch
from torch import nn

from petlsparse.networks import build_network
from petlsparse.sparsity.flops import OTHERS, inference_flops, layer_macs, training_flops

LENET5 = {
    "conv1": 24 * 24 * 20 * 25,  # 28x28 by 5x5 leaves 24x24
    "conv2": 8 * 8 * 50 * 20 * 25,  # pooled to 12x12, leaves 8x8
    "fc3": 800 * 500,
    "fc4": 500 * 10,
}


def test_macs_of_lenet5_and_the_mlp():
    assert layer_macs(build_network("lenet5", (1, 28, 28), 10), (1, 28, 28)) == LENET5
    mlp = layer_macs(build_network("mlp", (3, 32, 32), 10), (3, 32, 32))
    assert mlp == {"fc1": 3072 * 1024, "fc2": 1024 * 512, "fc3": 512 * 10}


def test_macs_of_a_transformer_count_every_token():
    macs = layer_macs(build_network("vit-micro", (3, 32, 32), 10), (3, 32, 32))
    assert macs["patch_embed.proj"] == 16 * 96 * 192
    assert macs["blocks.0.attn.qkv"] == 17 * 96 * 288
    assert macs["blocks.5.mlp.fc2"] == 17 * 384 * 96
    assert macs["head"] == 96 * 10
    assert macs[OTHERS] == 6 * 2 * 17 * 17 * 96  # scores and what they weigh, in each of six blocks


def test_attention_is_counted_alike_in_both_studies():
    from petlsparse.adapters.flops import flops_per_example
    from petlsparse.adapters.models import FullFineTuning
    from petlsparse.backbones import load_backbone

    macs = layer_macs(build_network("vit-micro", (3, 32, 32), 10), (3, 32, 32))
    adapted = flops_per_example(
        FullFineTuning(load_backbone("vit-micro", pretrained=False), 10, head_generator=torch.Generator())
    )
    last_mlp_for_other_tokens = 2 * 16 * 2 * 96 * 384  # adapter-search computes it for the class token alone
    assert adapted.inference == inference_flops(macs) - last_mlp_for_other_tokens


def test_macs_of_strides_groups_and_layers_used_twice():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2)
            self.shared = nn.Linear(9, 9)

        def forward(self, x):
            return self.shared(self.shared(self.conv(x).flatten(2)))

    assert layer_macs(Twice(), (4, 6, 6)) == {"conv": 3 * 3 * 6 * 2 * 9, "shared": 2 * 6 * 81}


def test_counting_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8, 3))
    model[1].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.random.get_rng_state()
    layer_macs(model, (1, 4, 4))
    assert [module.training for module in model] == [True, False, True, True, True]
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(random_state, torch.random.get_rng_state())
    assert not any(module._forward_hooks for module in model)


def test_inference_counts_active_weights_of_masked_layers_and_all_of_the_others():
    # 288,000 + 1,600,000 + 400,000 + 5,000 MACs
    assert inference_flops(LENET5) == 2 * 2_293_000
    assert inference_flops(LENET5, {"conv2": 0.1, "fc3": 0.05}) == pytest.approx(
        2 * (288_000 + 160_000 + 20_000 + 5_000)
    )


def test_training_is_three_forwards_and_dense_weight_gradients_at_updates():
    dense = {"a": 1000}
    assert training_flops(dense) == 6000
    assert training_flops(dense, {"a": 0.1}) == pytest.approx(600)
    # Every fourth step has a dense weight gradient, 2000 instead of 200: (3 * 600 + 200 + 200 + 2000) / 4.
    assert training_flops(dense, {"a": 0.1}, dense_gradient_share=0.25) == pytest.approx(1050)
