"""A plain vision transformer as a residual stream of 2L+1 nodes (arXiv 2410.15858)."""

from __future__ import annotations

import hashlib
from typing import cast

import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from petlsparse.backbones.forward import forward_facts
from petlsparse.errors import Problem, UserError


class ResidualStream(nn.Module):
    """A frozen timm `VisionTransformer` with L blocks, opened up into nodes and sub-blocks.

    Node 0 is the input of the first block, node 2l+1 the stream after the attention of block l, node 2l+2 after its
    MLP, both after the residual add and before any norm: x[j] = x[j-1] + subblock(j, x[j-1]).

    Nothing here is ever random: the module stays in evaluation mode whatever `train()` says, so dropout and
    drop-path are off, two passes over one batch agree, and frozen values may be cached.

    Args:
        vit: taken over, not copied; its classifier is removed.
        mean, std: of the pixels in 0..1 per channel, as the weights expect them.

    Raises:
        UserError: the model has no such stream; says why.
    """

    def __init__(self, vit: VisionTransformer, mean: tuple[float, ...], std: tuple[float, ...]):
        super().__init__()
        check_stream(vit, type(vit).__name__)
        vit.reset_classifier(0)
        self.vit = vit
        self.mean, self.std = mean, std
        self.nodes = 2 * len(vit.blocks) + 1
        self.width: int = vit.embed_dim
        self.channels: int = vit.in_chans
        self.image_size: int = vit.patch_embed.img_size[0]
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> ResidualStream:
        """Stay in evaluation mode; see the class."""
        return super().train(False)

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

    def embed(self, images: Tensor) -> Tensor:
        """Normalised images (B, C, H, W) to node 0 (B, T, d): patches, position, class and register tokens."""
        vit = self.vit
        return cast("Tensor", vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(images)))))

    def subblock(self, j: int, x: Tensor) -> Tensor:
        """What is added on the way to node j = 1..n-1, (B, T, d): attention for odd j, MLP for even j.

        The branch alone, with its own pre-norm and layer scale, without the residual add.
        """
        block = cast("Block", self.vit.blocks[(j - 1) // 2])
        if j % 2:
            return cast("Tensor", block.ls1(block.attn(block.norm1(x))))
        return cast("Tensor", block.ls2(block.mlp(block.norm2(x))))

    def read_by_pool(self, x: Tensor) -> Tensor:
        """The tokens of x (B, T, d) that pooling reads of node n-1: the class token alone, or all of them.

        An MLP treats every token by itself, so the last one need not be computed for tokens that nobody reads.
        """
        return x[:, :1] if self.vit.global_pool == "token" else x

    def pool(self, x: Tensor) -> Tensor:
        """Node n-1 (B, T, d), or `read_by_pool` of it, to the model's own features (B, d): final norm, then pooling."""
        return self.vit.forward_head(self.vit.norm(x), pre_logits=True)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, C, H, W) to features (B, d): the plain network, as timm computes it."""
        x = self.embed(images)
        for j in range(1, self.nodes):
            x = self.read_by_pool(x) if j == self.nodes - 1 else x
            x = x + self.subblock(j, x)
        return self.pool(x)


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


def check_stream(model: nn.Module, name: str) -> None:
    """Make sure that `model` is attention, then MLP, each added to its input, all the way.

    Raises:
        UserError: it is not; says why, and what is supported.
    """
    # Exact types: a subclass may run the same blocks in another order, and would be computed wrongly in silence.
    if type(model) is not VisionTransformer:
        reason = f"it is a {type(model).__name__} with a forward pass of its own"
    elif other := {type(block).__name__ for block in model.blocks if type(block) is not Block}:
        reason = " and ".join(OTHER_BLOCKS.get(block, f"its blocks are {block}") for block in sorted(other))
    elif not model.global_pool:
        reason = "it does not pool its tokens into one feature vector"
    else:
        return
    message = f'"{name}" has no residual stream to place adapters on: {reason}'
    raise UserError(Problem(message, where="backbone.name", valid=SUPPORTED))
