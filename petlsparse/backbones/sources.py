"""Where backbones come from: the bundled weights, a timm name, a local timm checkpoint.

Every source builds the architecture without memory first (PyTorch's meta device), so that a model without a residual
stream, a wrong name or an impossible image size is refused before any weight is read or downloaded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import timm
import torch
from safetensors.torch import load_file

from petlsparse.backbones import PACKAGED, hub
from petlsparse.backbones.packaged import folder_of
from petlsparse.backbones.stream import ResidualStream
from petlsparse.backbones.strict import strict_loading
from petlsparse.backbones.timm_streams import TimmModel, as_stream, check_stream
from petlsparse.errors import Problem, UserError, nearest_name
from petlsparse.homes import expanded

WHERE = "backbone.name"
BUNDLED = Path(__file__).with_name("bundled") / "vit-micro.safetensors"
WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".npz")
JAX_FILES = {
    "ViT-B_16": "vit_base_patch16_224.orig_in21k",
    "ViT-B_32": "vit_base_patch32_224.orig_in21k",
    "ViT-L_16": "vit_large_patch16_224.orig_in21k",
    "ViT-L_32": "vit_large_patch32_224.orig_in21k",
    "ViT-H_14": "vit_huge_patch14_224.orig_in21k",
}
"""Name of a file of Google's `vit_models/imagenet21k` -> the timm model that it holds the weights of."""
FORMS = (
    "vit-micro",
    *PACKAGED,
    "local-dir:PATH",
    "a timm VisionTransformer or Eva such as vit_base_patch16_224.augreg_in21k",
)


def bundled(
    name: str, *, pretrained: bool, image_size: int | None, generator: torch.Generator | None
) -> ResidualStream:
    """The stream of vit-micro, whose weights travel with the package.

    Raises UserError where they are missing, and for an impossible image size.
    """
    from petlsparse.networks.vit_micro import vit_micro

    if pretrained and not BUNDLED.is_file():
        raise UserError(
            Problem(
                "the bundled weights of vit-micro are missing from this installation; use pretrained = false for "
                "random weights",
                where=WHERE,
            )
        )
    with drawing_from(generator):
        vit = vit_micro(0)
    if pretrained:
        weights = load_file(BUNDLED)
        vit.load_state_dict({key: tensor for key, tensor in weights.items() if not key.startswith("head.")})
    if image_size is not None:
        check_image_size(vit, image_size)
        vit.set_input_size(img_size=(image_size, image_size))
    return as_stream(vit, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def by_timm_name(
    name: str, *, pretrained: bool, image_size: int | None, generator: torch.Generator | None
) -> ResidualStream:
    """The stream of a model of timm's registry; pre-trained weights from the hub cache, else from the hub.

    Raises UserError for an unknown name, weights that cannot be had, no residual stream, or an impossible image size.
    """
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        nearest = nearest_name(name, PACKAGED) or nearest_name(architecture, timm.list_models())
        raise UserError(Problem(f'unknown backbone "{name}"', WHERE, nearest=nearest, valid=FORMS))
    tags = [full.partition(".")[2] for full in timm.list_pretrained(architecture)]
    if tag and tag not in tags:
        valid = tuple(f"{architecture}.{known}" for known in tags)
        problem = Problem(f'unknown weights "{name}"', WHERE, nearest=nearest_name(name, valid), valid=valid)
        raise UserError(problem)
    meta_model = skeleton(name, image_size)
    config = pretrained_config(meta_model)
    if pretrained and not (config.get("hf_hub_id") or config.get("url")):
        message = f'timm has no weights for "{name}"; use pretrained = false for random ones'
        raise UserError(Problem(message, WHERE))
    overlay = None
    if pretrained and (file := hub.cached_weights(config)):
        # What is not in NumPy's format is an ordinary state dict, also where timm knows Google's original.
        overlay = {"file": str(file), "custom_load": file.suffix == ".npz"}
    elif pretrained and (repo := config.get("hf_hub_id")):
        hub.ensure_reachable(name, repo)
    return build(meta_model, name, overlay, pretrained=pretrained, image_size=image_size, generator=generator)


def local(name: str, *, pretrained: bool, image_size: int | None, generator: torch.Generator | None) -> ResidualStream:
    """The stream of "local-dir:PATH": a folder that timm wrote, or a weight file named after its timm model.

    Raises UserError where there is neither, for no residual stream, and for an impossible image size.
    """
    path = expanded(name.partition(":")[2])
    overlay = None
    if path.is_dir():
        model = f"local-dir:{path}"
        meta_model = skeleton(model, image_size)
    elif path.is_file() and path.suffix in WEIGHT_SUFFIXES:
        model = JAX_FILES.get(path.stem, path.stem) if path.suffix == ".npz" else path.stem
        if not timm.is_model(model.partition(".")[0]):
            message = (
                f'a single weight file must be named after its timm model, and timm knows no "{model}"; '
                "rename it, or give a folder with config.json"
            )
            raise UserError(Problem(message, WHERE, nearest=nearest_name(model, timm.list_models())))
        meta_model = skeleton(model, image_size)
        overlay = {"file": str(path), "custom_load": path.suffix == ".npz"}
    else:
        kinds = ", ".join(WEIGHT_SUFFIXES)
        raise UserError(Problem(f'no checkpoint folder and no weight file ({kinds}) at "{path}"', WHERE))
    return build(meta_model, model, overlay, pretrained=pretrained, image_size=image_size, generator=generator)


def packaged(
    name: str, *, pretrained: bool, image_size: int | None, generator: torch.Generator | None
) -> ResidualStream:
    """The stream of weights that were fetched from a package.

    Raises UserError where they were not, and for an impossible image size.
    """
    if not pretrained:
        architecture = PACKAGED[name].architecture
        return by_timm_name(architecture, pretrained=False, image_size=image_size, generator=generator)
    folder = folder_of(name)
    if not folder.is_dir():
        raise UserError(Problem(f'not on this machine; "petlsparse weights get {name}" fetches it', WHERE, absent=True))
    return local(f"local-dir:{folder}", pretrained=True, image_size=image_size, generator=generator)


def skeleton(model: str, image_size: int | None) -> TimmModel:
    """The timm model without weights and memory. Raises UserError if it has no stream, or not that image size."""
    with timm_errors_of(model), torch.device("meta"), torch.random.fork_rng(devices=[]):
        meta_model: TimmModel = timm.create_model(model, pretrained=False)
    check_stream(meta_model, model)
    height, width = meta_model.patch_embed.img_size
    if image_size is not None:
        check_image_size(meta_model, image_size)
    elif height != width:
        message = f'"{model}" takes images of {height} by {width} pixels, and only squares are read; '
        raise UserError(Problem(message + "set backbone.image_size", WHERE))
    return meta_model


def check_image_size(vit: TimmModel, image_size: int) -> None:
    """Raises UserError for a size that patches do not fill: timm would leave out the rest of the image in silence."""
    patch = vit.patch_embed.feat_ratio()
    if image_size < patch or image_size % patch:
        below = max(image_size // patch, 1) * patch
        raise UserError(
            Problem(
                f"must be a multiple of the patch size {patch} (near: {below}, {below + patch})",
                where="backbone.image_size",
                value=str(image_size),
            )
        )


def build(
    meta_model: TimmModel,
    model: str,
    overlay: dict[str, Any] | None,
    *,
    pretrained: bool,
    image_size: int | None,
    generator: torch.Generator | None,
) -> ResidualStream:
    """The stream of the model of `skeleton`, made by timm with its weights, from the file in `overlay` if given."""
    options = check_stream(meta_model, model).OPTIONS
    with timm_errors_of(overlay["file"] if overlay else model), drawing_from(generator), strict_loading():
        vit = timm.create_model(
            model, pretrained=pretrained, pretrained_cfg_overlay=overlay, img_size=image_size, **options
        )
    mean, std = normalisation(vit, model)
    return as_stream(vit, mean=mean, std=std)


def normalisation(vit: TimmModel, model: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, of pixels in 0..1. Raises UserError if they cannot be that."""
    config = pretrained_config(vit)
    told: list[tuple[float, ...]] = []
    for key, least in (("mean", 0.0), ("std", math.ulp(0.0))):
        values = config.get(key)
        if (
            not isinstance(values, list | tuple)
            or len(values) != vit.in_chans
            or not all(type(value) in (int, float) and least <= value <= 1 for value in values)
        ):
            above = "0..1" if key == "mean" else "0..1, above 0"
            message = f'{key} of "{model}" must be {vit.in_chans} numbers in {above}, as pixels are; in config.json'
            raise UserError(Problem(message, WHERE, value=str(values)))
        told.append(tuple(map(float, values)))
    return told[0], told[1]


def pretrained_config(vit: TimmModel) -> dict[str, Any]:
    """A model's `pretrained_cfg`: where the weights are, and how their images were normalised."""
    return cast("dict[str, Any]", vit.pretrained_cfg)


@contextmanager
def timm_errors_of(source: str | Path) -> Iterator[None]:
    """What timm cannot read becomes the user's error, with its name."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # what timm, torch and safetensors raise over a file that is not what it should be
        raise UserError(Problem(f'timm cannot load "{source}": {str(error) or type(error).__name__}', WHERE)) from error


@contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Let timm's initialisers, which know only the global generator, draw from ours; the global one is untouched."""
    seed = 0 if generator is None else int(torch.randint(2**62, (), generator=generator))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # `torch.manual_seed` would reseed GPUs too
        yield
