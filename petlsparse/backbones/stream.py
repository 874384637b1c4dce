"""What adapters know of a backbone: a residual stream of 2L+1 nodes (arXiv 2410.15858)."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

Context = Tensor | None
"""What sub-blocks read besides the stream, the same for every image: a table of rotary position embeddings."""


class ResidualStream(nn.Module, ABC):
    """A frozen transformer of L blocks, opened up into nodes.

    Node 0 is the input of the first block, node 2l+1 the stream after the attention of block l, node 2l+2 after its
    MLP, both after the residual add: x[j] = advance(j, x[j-1], context).

    Nothing here is ever random: the module stays in evaluation mode whatever `train()` says, so dropout and
    drop-path are off, two passes over one batch agree, and values of nodes may be cached.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Of the pixels in 0..1 per channel, as the weights expect them."""
    nodes: int
    width: int
    channels: int
    image_size: int

    def train(self, mode: bool = True) -> ResidualStream:
        """Stay in evaluation mode; see the class."""
        return super().train(False)

    @property
    @abstractmethod
    def model(self) -> nn.Module:
        """The transformer as its library has it, whose modules go by the names that they have there."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """12 hex digits of the content of the weights as they are now, names and shapes included."""

    @property
    @abstractmethod
    def forward_fingerprint(self) -> str:
        """12 hex digits of what the forward pass is besides the weights: modules, their settings, mean and std."""

    @abstractmethod
    def layers_above(self) -> dict[nn.Parameter, int]:
        """Parameter -> layers above it: blocks, and the head that is put on top; 1 in the last block."""

    @abstractmethod
    def embed(self, images: Tensor) -> tuple[Tensor, Context]:
        """Normalised images (B, C, H, W) to node 0 (B, T, d), and the context of all that follows."""

    @abstractmethod
    def context(self) -> Context:
        """The context that `embed` returns, for passes that start from values of nodes."""

    @abstractmethod
    def advance(self, j: int, x: Tensor, context: Context) -> Tensor:
        """Node j-1 to node j = 1..n-1, both (B, T, d): attention for odd j, MLP for even j, residual add included."""

    @abstractmethod
    def read_by_pool(self, x: Tensor) -> Tensor:
        """The tokens of x (..., T, d) that pooling reads of node n-1: the class token alone, or all of them.

        An MLP treats every token by itself, so the last one need not be computed for tokens that are not read.
        """

    @abstractmethod
    def pool(self, x: Tensor, context: Context) -> Tensor:
        """Node n-1 (B, T, d), or `read_by_pool` of it, to the model's own features (B, d): final norm, then pooling."""

    def needed(self, j: int, x: Tensor) -> Tensor:
        """What the rest of the way reads of x (..., T, d) at node j: all of it, or at the last node what is pooled."""
        return x if j < self.nodes - 1 else self.read_by_pool(x)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, C, H, W) to features (B, d): the plain network."""
        x, context = self.embed(images)
        for j in range(1, self.nodes):
            x = self.advance(j, self.needed(j, x), context)
        return self.pool(x, context)
