"""What sparse training would cost if only active weights were computed with: FLOPs per example, from layer shapes.

A multiply-accumulate (MAC) counts as two FLOPs. Biases, norms and activations are left out, as is usual; products
without a weight, attention scores and what they weigh, are counted, and are dense whatever the weights are.
"""

import math
from collections.abc import Mapping, Sequence

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from petlsparse.sparsity.geometry import calls
from petlsparse.sparsity.maskable import maskable

OTHERS = "others"
"""In the place of a layer's name: all products that are of no maskable layer."""


def layer_macs(model: nn.Module, input_shape: Sequence[int]) -> dict[str, int]:
    """MACs per example of the forward pass through each maskable layer, were it dense, and of `OTHERS`, if any.

    Leaves the model as it was.

    Args:
        model: any network.
        input_shape: (C, H, W) of one example.
    """
    weights = maskable(model)
    # Attention as the two products that it is: of fused kernels on a CPU nothing would be counted.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        layers = calls(model, input_shape)
    # Every output value is a sum over the weights of its channel, in linear and convolutional layers alike.
    macs = {
        name: sum(math.prod(call.output) for call in called) * weights[name][0].numel()
        for name, called in layers.items()
    }
    others = counter.get_total_flops() // 2 - sum(macs.values())
    return macs | ({OTHERS: others} if others else {})


def inference_flops(macs: Mapping[str, int], densities: Mapping[str, float] | None = None) -> float:
    """FLOPs per example of a forward pass, 2 * sum of density * MACs over layers; no densities means dense."""
    densities = densities or {}
    return 2 * sum(count * densities.get(layer, 1.0) for layer, count in macs.items())


def training_flops(
    macs: Mapping[str, int],
    densities: Mapping[str, float] | None = None,
    *,
    dense_gradient_share: float = 0.0,
) -> float:
    """FLOPs per example of training, averaged over steps: 3 f_S + share * (f_D - f_S).

    With f_S and f_D the FLOPs of a sparse and a dense forward pass, a step costs f_S forward and 2 f_S backward, for
    the inputs and for the weights; where growth reads the gradient, an update needs the dense weight gradient, f_D
    in place of f_S. (RigL, 1911.11134, appendix H, whose updates replace an optimizer step; here they do not.)

    Args:
        macs: from `layer_macs`.
        densities: layer name -> density; a layer left out is dense.
        dense_gradient_share: updates per optimizer step, if growth reads the gradient, else 0.
    """
    sparse, dense = inference_flops(macs, densities), inference_flops(macs)
    return 3 * sparse + dense_gradient_share * (dense - sparse)
