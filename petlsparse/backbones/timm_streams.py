"""timm's plain vision transformers as residual streams."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar, cast

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from petlsparse.backbones.forward import forward_facts
from petlsparse.backbones.stream import Context, ResidualStream
from petlsparse.errors import Problem, UserError


class TimmStream(ResidualStream):
    """What the families have in common.

    Args:
        vit: taken over, not copied, checked by `check_stream`; its classifier is removed.
        mean, std: see `ResidualStream`.
    """

    BLOCKS: ClassVar[tuple[type[nn.Module], ...]]
    """The blocks that `advance` knows."""

    def __init__(self, vit: VisionTransformer, mean: tuple[float, ...], std: tuple[float, ...]):
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
        return hashlib.sha256(f"{pixels} {forward_facts(self.vit)}".encode()).hexdigest()[:12]

    def read_by_pool(self, x: Tensor) -> Tensor:
        """The class token alone, or all tokens."""
        return x[..., :1, :] if self.vit.global_pool == "token" else x

    def pool(self, x: Tensor, context: Context) -> Tensor:
        """Final norm, then pooling, as timm's `forward_head` does before its classifier."""
        return self.vit.forward_head(self.vit.norm(x), pre_logits=True)


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
        block = cast("Any", self.vit.blocks[(j - 1) // 2])
        if j % 2:
            return cast("Tensor", x + block.ls1(block.attn(block.norm1(x))))
        return cast("Tensor", x + block.ls2(block.mlp(block.norm2(x))))


STREAMS: dict[type[nn.Module], type[TimmStream]] = {VisionTransformer: VisionTransformerStream}
"""By exact class: a subclass may run the same blocks in another order, and would be computed wrongly in silence."""

SUPPORTED = (
    "vit-micro",
    "timm's pre-norm VisionTransformers of plain blocks (vit_*, deit_* without distillation, deit3_*, flexivit_*)",
)

OTHER_BLOCKS = {
    "ResPostBlock": "its blocks normalise after the sub-block (res-post-norm)",
    "ParallelScalingBlock": "its blocks run attention and MLP in parallel",
    "DiffParallelScalingBlock": "its blocks run attention and MLP in parallel",
    "ParallelThingsBlock": "its blocks run several attentions and MLPs in parallel",
}


def as_stream(model: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> TimmStream:
    """The stream of a timm model, frozen. Raises UserError if it has none; see `check_stream`."""
    return check_stream(model, type(model).__name__)(cast("VisionTransformer", model), mean, std)


def check_stream(model: Any, name: str) -> type[TimmStream]:
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
