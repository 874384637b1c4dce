"""Which parameters of a network are subject to sparsity."""

from torch import nn


def maskable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of linear and convolutional layers, by layer name ("fc1", "blocks.0.attn.qkv"), in module order.

    First convolution and classifier are among them; biases, norm layers, embeddings and tokens are not (as in the
    released code of arXiv 2306.12230 for every network that it studies).
    """
    return {
        name: module.get_parameter("weight")
        for name, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d))
    }
