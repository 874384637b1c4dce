"""Where the layers of a network are: what each is given, seen in one forward pass over a blank example."""

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn


class Call(NamedTuple):
    """A call of a layer: shapes, batch dimension of 1 included, and whether training would ask for dX."""

    input: tuple[int, ...]
    output: tuple[int, ...]
    needs_input_grad: bool


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode; afterwards every module is in the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def calls(model: nn.Module, names: Collection[str], input_shape: Sequence[int]) -> dict[str, list[Call]]:
    """Layer name -> how the model calls it, in evaluation mode, for one example of zeros; leaves it as it was.

    Args:
        model: any network.
        names: of its layers; those that it does not call are left out.
        input_shape: (C, H, W) of one example.
    """
    seen: dict[str, list[Call]] = {}
    if not names:
        return seen

    def observe(name: str) -> torch.utils.hooks.RemovableHandle:
        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen.setdefault(name, []).append(Call(tuple(inputs[0].shape), tuple(output.shape), inputs[0].requires_grad))

        return model.get_submodule(name).register_forward_hook(note)

    handles = [observe(name) for name in names]
    parameter = next(model.parameters())
    try:
        with evaluating(model), torch.enable_grad():
            model(torch.zeros(1, *input_shape, dtype=parameter.dtype, device=parameter.device))
    finally:
        for handle in handles:
            handle.remove()
    return seen


@dataclass(frozen=True)
class LayerGeometry:
    """A linear layer or a convolution, and all of its surroundings that its speed depends on.

    Attributes:
        weight: its shape, (out, in) or (out, in, kh, kw).
        image: (H, W) that a convolution is given; () for a linear layer.
        stride, padding: of a convolution.
        needs_input_grad: whether the gradient of its input is needed; the first layer of a network does without.
    """

    weight: tuple[int, ...]
    image: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    needs_input_grad: bool = True

    @property
    def products(self) -> int:
        """Multiplications of one example's forward pass, were the layer dense."""
        kernel = self.weight[2:]
        sides = zip(self.image, self.padding, kernel, self.stride, strict=True)
        pixels = [(side + 2 * margin - reach) // step + 1 for side, margin, reach, step in sides]
        return math.prod(self.weight) * math.prod(pixels)

    def __str__(self) -> str:
        parts = {"": self.weight, " on ": self.image, " stride ": self.stride, " padding ": self.padding}
        text = "".join(word + " x ".join(map(str, sizes)) for word, sizes in parts.items() if sizes)
        return text if self.needs_input_grad else f"{text} first"


def geometries(model: nn.Module, names: Sequence[str], input_shape: Sequence[int]) -> dict[str, LayerGeometry]:
    """Of the named layers, linear ones and convolutions, by name; of those that the model calls at all.

    A layer called more than once is where it is called first.
    """
    found: dict[str, LayerGeometry] = {}
    for name, (call, *_) in calls(model, names, input_shape).items():
        module = model.get_submodule(name)
        weight = tuple(module.get_parameter("weight").shape)
        if isinstance(module, nn.Conv2d):
            assert isinstance(module.padding, tuple), name
            found[name] = LayerGeometry(weight, call.input[2:], module.stride, module.padding, call.needs_input_grad)
        else:
            found[name] = LayerGeometry(weight, needs_input_grad=call.needs_input_grad)
    return found
