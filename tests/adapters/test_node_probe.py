"""A probe of a node: its features, what it computes, what it refuses."""

from __future__ import annotations

import pytest
import torch

from petlsparse.adapters.models import frozen_features
from petlsparse.adapters.node_probe import NodeProbe, check_node
from petlsparse.errors import UserError

from .toys import CLASSES, generator, images, placed, tiny_stream


@pytest.mark.parametrize("pool", ["token", "avg"])
@pytest.mark.parametrize("node", [1, 4, 6])
def test_it_is_the_head_on_the_node_normalised_and_pooled_as_the_backbone_does(node: int, pool: str) -> None:
    stream = tiny_stream(global_pool=pool)
    probe = NodeProbe(stream, node, CLASSES, head_generator=generator()).double()
    x = frozen_features(stream, images(), [node])[node]
    norm = stream.vit.norm if pool == "token" else stream.vit.fc_norm  # timm normalises after averaging
    pooled = norm(x[:, 0]) if pool == "token" else norm(x[:, 1:].mean(1))
    expected = pooled @ probe.head.weight.T + probe.head.bias
    torch.testing.assert_close(probe(images()), expected)
    torch.testing.assert_close(probe(probe.frozen(images())), expected)
    assert [name for name, p in probe.named_parameters() if p.requires_grad] == ["head.weight", "head.bias"]


def test_at_the_last_node_it_is_the_linear_probe() -> None:
    stream = tiny_stream()
    probe = NodeProbe(stream, 6, CLASSES, head_generator=generator(4)).double()
    assert torch.equal(probe(images()), placed([], stream)(images()))
    assert (probe.frozen_nodes, probe.pooled) == ((6,), True)
    rounded = NodeProbe(stream, 3, CLASSES, head_generator=generator(4), frozen_dtype=torch.bfloat16)
    assert rounded.frozen(images())[3].dtype is torch.bfloat16


def test_nodes_that_are_not_there_or_know_no_image_are_refused() -> None:
    with pytest.raises(UserError, match=r"0\.\.6"):
        check_node(7, tiny_stream())
    with pytest.raises(UserError, match="the same for all images"):
        check_node(0, tiny_stream())
    assert check_node(0, tiny_stream(global_pool="avg")) == 0
