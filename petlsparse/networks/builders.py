"""The networks by name: what each takes, and what is built of it. Loaded without torch, as recipes are.

A builder takes the shape of one example (C, H, W) and the number of classes; its keyword arguments are its settings in
a recipe. It returns a module that maps images (B, C, H, W) to logits (B, classes), with freshly drawn weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from petlsparse.settings import Counts, FractionBelowOne

if TYPE_CHECKING:
    from torch import nn

ImageShape = tuple[int, int, int]


def mlp(
    input_shape: ImageShape, classes: int, *, widths: Counts = (1024, 512), dropout: FractionBelowOne = 0.0
) -> nn.Module:
    """The multilayer perceptron of 2306.12230, at any width and depth.

    Args:
        input_shape: (C, H, W) of one example.
        classes: number of logits.
        widths: hidden widths.
        dropout: probability of dropping an activation, before every linear layer (the study's dropout MLP).
    """
    from petlsparse.networks.mlp import mlp

    return mlp(input_shape, classes, widths=widths, dropout=dropout)


def lenet5(input_shape: ImageShape, classes: int) -> nn.Module:
    """LeNet-5 in its Caffe form, for images of at least 16x16."""
    from petlsparse.networks.convolutional import lenet5

    return lenet5(input_shape, classes)


def small_conv(input_shape: ImageShape, classes: int) -> nn.Module:
    """The three-layer ConvNet of 2306.12230, for images of at least 30x30."""
    from petlsparse.networks.convolutional import small_conv

    return small_conv(input_shape, classes)


def vit_micro(input_shape: ImageShape, classes: int) -> nn.Module:
    """The small vision transformer that ships as a backbone, for images of 3x32x32."""
    from petlsparse.networks.vit_micro import vit_micro_classifier

    return vit_micro_classifier(input_shape, classes)
