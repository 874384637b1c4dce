"""timm's plain vision transformers as residual streams."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias, cast

import torch
from timm.models import group_parameters
from timm.models.eva import Eva, EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from petlsparse.backbones.forward import forward_description
from petlsparse.backbones.stream import Context, ResidualStream
from petlsparse.errors import Problem, UserError

TimmModel: TypeAlias = Any
"""A model of a class in STREAMS; timm declares few of their attributes."""


class TimmStream(ResidualStream):
    """What the families have in common.

    Args:
        vit: taken over, not copied, checked by `check_stream`; its classifier is removed.
        mean, std: see `ResidualStream`.
    """

    BLOCKS: ClassVar[tuple[type[nn.Module], ...]]
    """The blocks that `advance` knows."""
    OPTIONS: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """What timm is told when it makes such a model."""

    def __init__(self, vit: TimmModel, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        vit.reset_classifier(0)
        self.vit = vit
        self.mean, self.std = mean, std
        self.nodes = 2 * len(vit.blocks) + 1
        self.width = vit.embed_dim
        self.channels = vit.in_chans
        self.image_size = vit.patch_embed.img_size[0]
        self.requires_grad_(False)
        self.eval()

    @property
    def model(self) -> nn.Module:
        """Timm's."""
        return cast("nn.Module", self.vit)

    @property
    def fingerprint(self) -> str:
        """12 hex digits of the content of the weights as they are now, names and shapes included."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.vit.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()[:12]

    @property
    def forward_fingerprint(self) -> str:
        """12 hex digits of what the forward pass is besides the weights: modules, their settings, mean and std."""
        pixels = [self.image_size, *map(float, (*self.mean, *self.std))]
        return hashlib.sha256(f"{pixels} {forward_description(self.vit)}".encode()).hexdigest()[:12]

    def layers_above(self) -> dict[nn.Parameter, int]:
        """As timm matches names: the final norm is with the last block, what its patterns do not name with the head."""
        layers = group_parameters(self.vit, self.vit.group_matcher(coarse=False), reverse=True)
        head = len(self.vit.blocks) + 1
        return {parameter: head - layers[name] for name, parameter in self.vit.named_parameters()}

    def read_by_pool(self, x: Tensor) -> Tensor:
        """The class token alone, or all tokens."""
        return x[..., :1, :] if self.vit.global_pool == "token" else x

    def pool(self, x: Tensor, context: Context) -> Tensor:
        """Final norm, then pooling, as timm's `forward_head` does before its classifier."""
        return cast("Tensor", self.vit.forward_head(self.vit.norm(x), pre_logits=True))


class VisionTransformerStream(TimmStream):
    """timm's `VisionTransformer` of pre-norm blocks."""

    BLOCKS = (Block,)

    def embed(self, images: Tensor) -> tuple[Tensor, Context]:
        """Patches, position, class and register tokens; there is no context."""
        vit = self.vit
        return cast("Tensor", vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(images))))), None

    def context(self) -> Context:
        """None."""
        return None

    def advance(self, j: int, x: Tensor, context: Context) -> Tensor:
        """The branch with its own norm and layer scale, added."""
        block = self.vit.blocks[(j - 1) // 2]
        if j % 2:
            return cast("Tensor", x + block.ls1(block.attn(block.norm1(x))))
        return cast("Tensor", x + block.ls2(block.mlp(block.norm2(x))))


class EvaStream(TimmStream):
    """timm's `Eva`: EVA, EVA-02, DINOv3, Perception Encoder and others, pre-norm or post-norm, rotary or not."""

    BLOCKS = (EvaBlock, EvaBlockPostNorm)
    OPTIONS = MappingProxyType({"dynamic_img_size": False})  # else the rotary table is made on the host for every batch

    def embed(self, images: Tensor) -> tuple[Tensor, Context]:
        """Patches, position, class and register tokens; the rotary table."""
        tokens, table = self.vit._pos_embed(self.vit.patch_embed(images))
        return cast("Tensor", self.vit.norm_pre(tokens)), table

    def context(self) -> Context:
        """The rotary table of all patches, (N, 2 h) for heads of width h, or one for each block; None without one."""
        rope = self.vit.rope
        if rope is None:
            return None
        known = getattr(rope, "feat_shape", None) is not None
        return cast("Tensor", rope.get_embed() if known else rope.get_embed(shape=self.vit.patch_embed.grid_size))

    def advance(self, j: int, x: Tensor, context: Context) -> Tensor:
        """The branch with its own norm, before or after it, and layer scale, added."""
        index = (j - 1) // 2
        block = self.vit.blocks[index]
        table = context[index] if context is not None and self.vit.rope_mixed else context
        norm, scale = (block.norm1, "gamma_1") if j % 2 else (block.norm2, "gamma_2")
        post_norm = isinstance(block, EvaBlockPostNorm)
        branch = x if post_norm else norm(x)
        branch = block.attn(branch, rope=table) if j % 2 else block.mlp(branch)
        if post_norm:
            branch = norm(branch)
        elif (gamma := getattr(block, scale)) is not None:
            branch = gamma * branch
        return cast("Tensor", x + branch)


STREAMS: dict[type[nn.Module], type[TimmStream]] = {VisionTransformer: VisionTransformerStream, Eva: EvaStream}
"""By exact class: a subclass may run the same blocks in another order, and would be computed wrongly in silence."""

SUPPORTED = (
    "vit-micro",
    "timm's pre-norm VisionTransformers of plain blocks (vit_*, deit_* without distillation, deit3_*, flexivit_*)",
    "timm's Eva models (eva_*, eva02_*, vit_*_dinov3, vit_pe_*, vit_*_rope_*)",
)

OTHER_BLOCKS = {
    "ResPostBlock": "its blocks normalise after the sub-block (res-post-norm)",
    "ParallelScalingBlock": "its blocks run attention and MLP in parallel",
    "DiffParallelScalingBlock": "its blocks run attention and MLP in parallel",
    "ParallelThingsBlock": "its blocks run several attentions and MLPs in parallel",
}


def as_stream(model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> TimmStream:
    """The stream of a timm model, frozen. Raises UserError if it has none; see `check_stream`."""
    return check_stream(model, type(model).__name__)(model, mean, std)


def check_stream(model: TimmModel, name: str) -> type[TimmStream]:
    """The class that opens `model` up: it is attention, then MLP, each added to its input, all the way.

    Raises:
        UserError: it is not; says why, and what is supported.
    """
    kind = STREAMS.get(type(model))
    if kind is None:
        reason = f"it is a {type(model).__name__} with a forward pass of its own"
    elif other := {type(block).__name__ for block in model.blocks if type(block) not in kind.BLOCKS}:
        reason = " and ".join(OTHER_BLOCKS.get(block, f"its blocks are {block}") for block in sorted(other))
    elif not model.global_pool:
        reason = "it does not pool its tokens into one feature vector"
    else:
        return kind
    message = f'"{name}" has no residual stream to place adapters on: {reason}'
    raise UserError(Problem(message, where="backbone.name", valid=SUPPORTED))
