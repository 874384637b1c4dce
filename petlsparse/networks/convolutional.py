"""The two small convolutional networks of arXiv 2306.12230: LeNet-5 in its Caffe form, and the three-layer ConvNet.

Their convolutions are unpadded, so the image size decides how many features reach the first linear layer.
"""

from collections import OrderedDict

from torch import nn

from petlsparse.errors import Problem, UserError


def lenet5(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """LeNet-5 (Caffe): 5x5 convolutions of 20 and 50 channels, each with ReLU and 2x2 max pooling; 500 hidden units.

    The study's takes 28x28 grey images (430,500 maskable weights for 10 classes); 16x16 is the least.

    Raises:
        UserError: the image is smaller than 16x16.
    """
    channels, height, width = input_shape
    _demand_at_least(16, "lenet5", height, width)
    rows, columns = (((side - 4) // 2 - 4) // 2 for side in (height, width))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 20, 5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(20, 50, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc3=nn.Linear(50 * rows * columns, 500),
            relu3=nn.ReLU(),
            fc4=nn.Linear(500, classes),
        )
    )


def small_conv(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """3x3 convolutions of 32, 64 and 128 channels, 2x2 max pooling after two, 4x4 average pooling, one linear layer.

    The study's takes 32x32 colour images (94,304 maskable weights for 10 classes), whose last map the average
    covers exactly; 30x30 is the least.

    Raises:
        UserError: the image is smaller than 30x30.
    """
    channels, height, width = input_shape
    _demand_at_least(30, "small-conv", height, width)
    rows, columns = ((((side - 2) // 2 - 2) // 2 - 2) // 4 for side in (height, width))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 32, 3),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(32, 64, 3),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(64, 128, 3),
            relu3=nn.ReLU(),
            pool3=nn.AvgPool2d(4),
            flatten=nn.Flatten(),
            fc=nn.Linear(128 * rows * columns, classes),
        )
    )


def _demand_at_least(side: int, network: str, height: int, width: int) -> None:
    if min(height, width) < side:
        message = f'"{network}" needs images of at least {side}x{side} pixels'
        raise UserError(Problem(message, "network.name", f"{height}x{width}"))
