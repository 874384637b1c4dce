"""vit-micro: a plain pre-norm vision transformer small enough to train, and to adapt, on a CPU.

The architecture is defined once: networks train it from scratch, backbones load its weights.
"""

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from petlsparse.errors import Problem, UserError

INPUT_SHAPE = (3, 32, 32)
"""(C, H, W) of the images it takes."""


def vit_micro(classes: int) -> VisionTransformer:
    """A class token and 4x4 patches of 8x8 pixels through 6 blocks of width 96 with 3 heads and a 4x MLP.

    Logits are the head applied to the normalised class token; `classes=0` leaves the head out.
    """
    channels, height, width = INPUT_SHAPE
    return VisionTransformer(
        img_size=(height, width),
        patch_size=8,
        in_chans=channels,
        num_classes=classes,
        embed_dim=96,
        depth=6,
        num_heads=3,
        mlp_ratio=4.0,
    )


def vit_micro_classifier(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """`vit_micro` as a network to train from scratch.

    Raises:
        UserError: the images are not 3x32x32.
    """
    if tuple(input_shape) != INPUT_SHAPE:
        message = '"vit-micro" takes images of 3x32x32 (see data.image_size)'
        raise UserError(Problem(message, "network.name", "x".join(map(str, input_shape))))
    return vit_micro(classes)
