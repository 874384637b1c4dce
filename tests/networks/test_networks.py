"""The networks are those of arXiv 2306.12230, weight for weight, and they say no when they must."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from petlsparse.errors import UserError
from petlsparse.networks import NETWORKS, build_network
from petlsparse.networks.dropout import Dropout
from petlsparse.networks.vit_micro import vit_micro
from petlsparse.recipe.methods import DenseSettings, DstSettings, StaticSettings
from petlsparse.sparsity.maskable import maskable
from petlsparse.studies.dst_sweep import check_method

CIFAR, GREY = (3, 32, 32), (1, 28, 28)


@pytest.mark.parametrize(
    ("name", "input_shape", "total", "masked", "tensors"),
    [
        ("mlp", CIFAR, 3_676_682, 3_675_136, 3),
        ("small-conv", CIFAR, 94_538, 94_304, 4),
        ("lenet5", GREY, 431_080, 430_500, 4),
    ],
)
def test_parameter_and_maskable_counts_are_those_of_the_study(name, input_shape, total, masked, tensors):
    network = build_network(name, input_shape, 10)
    weights = maskable(network)
    assert sum(p.numel() for p in network.parameters()) == total
    assert sum(w.numel() for w in weights.values()) == masked
    assert len(weights) == tensors


def test_layers_carry_the_names_of_the_study():
    assert list(maskable(build_network("mlp", CIFAR, 10))) == ["fc1", "fc2", "fc3"]
    assert list(maskable(build_network("lenet5", GREY, 10))) == ["conv1", "conv2", "fc3", "fc4"]
    assert list(maskable(build_network("small-conv", CIFAR, 10))) == ["conv1", "conv2", "conv3", "fc"]


OWN = """
import torch
from torch import nn
def lazy(input_shape, classes): return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))
class Net(nn.Module):
    def __init__(self, input_shape, classes, *, width: int = 4):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, classes))
    def forward(self, x): return self.layers(x)
def fixed(input_shape, classes): return nn.Sequential(nn.Flatten(), nn.Linear(100, classes))
def headless(input_shape, classes): return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
def pair(input_shape, classes): return type("Pair", (nn.Linear,), {"forward": lambda self, x: (x, x)})(2, 2)
def number(input_shape, classes): return 3
def frozen(input_shape, classes): return nn.Sequential(nn.Flatten(), nn.Linear(64, classes)).requires_grad_(False)
def broken(input_shape, classes):
    raise KeyError("side")
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    return lambda name, **settings: build_network(f"{tmp_path}/mine.py:{name}", (1, 8, 8), 10, **settings)


def test_a_network_of_ones_own_is_in_training_mode_and_its_lazy_layers_have_weights(own):
    network = own("lazy")
    assert network.training
    assert list(maskable(network)) == ["1"]
    assert own("Net", width=5)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("fixed", 'fixed" cannot take images of 1x8x8: mat1 and mat2 shapes cannot be multiplied'),
        ("headless", 'headless" makes (1, 3) of one image, not logits (1, 10)'),
        ("pair", 'pair" makes tuple of one image, not logits (1, 10)'),
        ("number", 'number" is a int, not a module of torch'),
        ("frozen", 'frozen" has nothing to train'),
        ("broken", "broken\" fails in line 16: KeyError: 'side'"),
    ],
)
def test_a_network_that_cannot_be_trained_is_told(own, name, says):
    with pytest.raises(UserError) as caught:
        own(name)
    assert says in str(caught.value)
    assert caught.value.problems[0].where == "network.name"


@pytest.mark.parametrize(
    "method", [StaticSettings(density=0.5), DstSettings(density=0.5, criterion="mest", growth="random")]
)
def test_where_nothing_can_be_sparse_sparse_methods_are_refused(method):
    with pytest.raises(UserError, match="no linear or convolutional layer"):
        check_method(method, nn.Sequential(nn.Flatten(), nn.LayerNorm(64), nn.PReLU()))
    check_method(DenseSettings(), nn.Sequential(nn.Flatten(), nn.LayerNorm(64)))


def mlp_by_hand(x, p):
    x = F.relu(F.linear(x.flatten(1), *p["fc1"]))
    return F.linear(F.relu(F.linear(x, *p["fc2"])), *p["fc3"])


def lenet5_by_hand(x, p):
    x = F.max_pool2d(F.relu(F.conv2d(x, *p["conv1"])), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, *p["conv2"])), 2)
    return F.linear(F.relu(F.linear(x.flatten(1), *p["fc3"])), *p["fc4"])


def small_conv_by_hand(x, p):
    x = F.max_pool2d(F.relu(F.conv2d(x, *p["conv1"])), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, *p["conv2"])), 2)
    x = F.avg_pool2d(F.relu(F.conv2d(x, *p["conv3"])), 4)
    return F.linear(x.flatten(1), *p["fc"])


@pytest.mark.parametrize(
    ("name", "input_shape", "by_hand"),
    [("mlp", GREY, mlp_by_hand), ("lenet5", GREY, lenet5_by_hand), ("small-conv", CIFAR, small_conv_by_hand)],
)
def test_networks_compute_what_is_written_out_by_hand(name, input_shape, by_hand):
    torch.manual_seed(3)
    network = build_network(name, input_shape, 10).double()
    parameters = {
        key: (layer.weight, layer.bias) for key, layer in network.named_children() if hasattr(layer, "weight")
    }
    images = torch.randn(4, *input_shape, dtype=torch.float64)
    torch.testing.assert_close(network(images), by_hand(images, parameters))


def test_vit_micro_is_a_plain_vision_transformer_of_the_stated_size():
    network = vit_micro(7)
    assert (len(network.blocks), network.embed_dim, network.blocks[0].attn.num_heads) == (6, 96, 3)
    assert network.pos_embed.shape == (1, 1 + 4 * 4, 96)
    patches, block, head = 3 * 8 * 8 * 96, 96 * 288 + 96 * 96 + 2 * 96 * 384, 96 * 7
    assert sum(w.numel() for w in maskable(network).values()) == patches + 6 * block + head
    images = torch.randn(2, 3, 32, 32)
    tokens = network.forward_features(images)
    torch.testing.assert_close(network(images), network.head(tokens[:, 0]))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_maps_images_to_logits(name):
    assert build_network(name, CIFAR, 7)(torch.randn(2, *CIFAR)).shape == (2, 7)


@pytest.mark.parametrize("name", ["lenet5", "small-conv"])
@pytest.mark.parametrize("input_shape", [(1, 30, 30), (2, 45, 33), (3, 64, 64)])
def test_convolutional_networks_fit_their_linear_layer_to_the_image(name, input_shape):
    assert build_network(name, input_shape, 4)(torch.randn(2, *input_shape)).shape == (2, 4)


@pytest.mark.parametrize(("name", "side"), [("lenet5", 16), ("small-conv", 30)])
def test_the_smallest_image_that_works_is_the_one_the_message_names(name, side):
    assert build_network(name, (1, side, side), 3)(torch.randn(1, 1, side, side)).shape == (1, 3)
    for shape in [(1, side - 1, side), (1, side, side - 1)]:
        with pytest.raises(UserError, match=f"{side}x{side}"):
            build_network(name, shape, 3)


def test_the_same_seed_draws_the_same_weights():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_network("lenet5", GREY, 10).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_mlp_takes_any_widths():
    shapes = [tuple(w.shape) for w in maskable(build_network("mlp", (1, 4, 4), 3, widths=(5, 6, 7))).values()]
    assert shapes == [(5, 16), (6, 5), (7, 6), (3, 7)]
    assert len(maskable(build_network("mlp", (1, 4, 4), 3, widths=()))) == 1
    assert maskable(build_network("mlp", (1, 4, 4), 3, widths=(1,)))["fc2"].shape == (3, 1)


def test_mlp_dropout_stands_before_every_linear_layer():
    layers = list(build_network("mlp", (1, 4, 4), 3, dropout=0.25))
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Linear):
            assert isinstance(layers[index - 1], nn.Dropout)
            assert layers[index - 1].p == 0.25
    assert not any(isinstance(layer, nn.Dropout) for layer in build_network("mlp", (1, 4, 4), 3))


@pytest.mark.parametrize(
    ("name", "input_shape", "options"),
    [
        ("resnet", CIFAR, {}),
        ("vit-micro", GREY, {}),
        ("vit-micro", (3, 64, 64), {}),
        ("mlp", CIFAR, {"widths": (0,)}),
        ("mlp", CIFAR, {"dropout": 1.0}),
        ("mlp", CIFAR, {"dropout": -0.1}),
    ],
)
def test_what_cannot_be_built_is_a_user_error(name, input_shape, options):
    with pytest.raises(UserError):
        build_network(name, input_shape, 10, **options)


def test_dropout_drops_what_torchs_does_whatever_the_order_in_memory() -> None:
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    features_first = x.t().contiguous().t().requires_grad_()
    layer = Dropout(0.4)
    torch.manual_seed(3)
    expected = nn.Dropout(0.4)(x)
    for each in (x, features_first):
        torch.manual_seed(3)
        dropped = layer(each)
        assert torch.equal(dropped, expected)
    dropped.sum().backward()
    assert torch.equal(features_first.grad, (expected != 0) / torch.tensor(0.6))  # no activation is zero by itself
    assert layer.eval()(features_first) is features_first
