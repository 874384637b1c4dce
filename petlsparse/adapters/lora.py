"""Low-rank adaptation of the backbone's linear layers, by peft (arXiv 2106.09685)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from petlsparse.adapters.adapter import classification_head
from petlsparse.adapters.ranks import largest_rank
from petlsparse.adapters.tuned import TunedModel, own_seed
from petlsparse.backbones.stream import ResidualStream
from petlsparse.errors import Problem, UserError, nearest_name

ADAPTER = "default"
"""What peft calls the only adapter of a model."""


class LoraModel(TunedModel):
    """A frozen stream in which linear layers W x become W x + (alpha / rank) B A x, and a head.

    A is (rank, in), B is (out, rank) and starts at zero, so that a fresh model is the frozen network.

    Args:
        stream: not copied; peft puts its own layers in the place of those targeted.
        classes: of the task.
        targets: names of linear layers, or ends of them, as the backbone's library has them: "qkv", "mlp.fc1".
        rank, alpha: see above.
        ranks: (name, rank) of targeted layers that have another, their product scaled by the same alpha / rank.
        parameters: None, or in place of ranks the most that A and B of all layers may have together.
        dropout: probability that an entry of x is dropped on its way to A, in training.
        init: A "kaiming", uniform with a = sqrt(5) as peft has it, or "gaussian" with standard deviation 1 / rank.
        generator: one number is drawn; with it each layer seeds its own draw, so that its initial weights do not depend
            on which others are targeted.
        head_generator: source of the head.

    Raises:
        UserError: a target that is no linear layer of a sub-block, or none that peft can stand in for; see also
            `layer_ranks`.
    """

    def __init__(
        self,
        stream: ResidualStream,
        classes: int,
        *,
        targets: Sequence[str],
        rank: int,
        ranks: Sequence[tuple[str, int]] | None = None,
        parameters: int | None = None,
        alpha: float,
        dropout: float,
        init: str,
        generator: torch.Generator,
        head_generator: torch.Generator,
    ):
        super().__init__()
        from peft import LoraConfig, inject_adapter_in_model

        names = target_layers(stream, targets)
        own = layer_ranks(stream, names, rank=rank, ranks=ranks, parameters=parameters)
        self.ranks = list(own.values())
        common = self.ranks[0] if parameters is not None else rank
        others = {name: r for name, r in own.items() if r != common}
        start = True if init == "kaiming" else init
        settings: Any = {"r": common, "lora_alpha": alpha, "lora_dropout": dropout, "init_lora_weights": start}
        # peft scales by alpha / r of each layer: an alpha in the same proportion leaves alpha / rank.
        alphas = {name: alpha * r / common for name, r in others.items()}
        self.config: Any = LoraConfig(target_modules=names, rank_pattern=others, alpha_pattern=alphas, **settings)
        seed = int(torch.randint(2**62, (), generator=generator))
        with torch.random.fork_rng(devices=[]):
            inject_adapter_in_model(self.config, stream.model, ADAPTER)
            self._layers: dict[str, Any] = {name: stream.model.get_submodule(name) for name in names}
            for name, layer in self._layers.items():
                torch.default_generator.manual_seed(own_seed(seed, name))
                layer.reset_lora_parameters(ADAPTER, start)
        self.stream = stream
        self.head = classification_head(stream.width, classes, head_generator)

    def train(self, mode: bool = True) -> LoraModel:
        """The stream stays in evaluation mode but for the dropout before A."""
        super().train(mode)
        for layer in self._layers.values():
            layer.lora_dropout.train(mode)
        return self

    def to_peft_state_dict(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Trained tensors by the names of this model, A, B and head, by those of peft's `adapter_model.safetensors`."""
        inside = next(name for name, module in self.named_modules() if module is self.stream.model)
        return {
            f"base_model.model.{name.removeprefix(f'{inside}.').replace(f'.{ADAPTER}.', '.')}": tensor
            for name, tensor in tensors.items()
            if name.startswith("head.") or ".lora_" in name
        }

    def peft_config(self) -> str:
        """Text of peft's `adapter_config.json`, for the backbone with a classifier named `head`."""
        config = {**self.config.to_dict(), "modules_to_save": ["head"], "inference_mode": True}
        return json.dumps(config, default=sorted, indent=2)  # sets are what JSON does not know


def target_layers(stream: ResidualStream, targets: Sequence[str]) -> list[str]:
    """Names of the linear layers that a target names, in the order of the forward pass.

    Only those that sub-blocks call: peft puts a layer in the place of another, and would not be asked where a block
    computes with the weight by itself, as some of timm's do.

    Raises:
        UserError: a target that names none; every such target is reported.
    """
    called, present = called_layers(stream), linear_layers(stream)
    problems = [_problem(target, called, present) for target in targets if not any(map(_named(target), called))]
    if problems:
        raise UserError(*problems)
    return [name for name in called if any(_named(target)(name) for target in targets)]


def _problem(target: str, called: Sequence[str], present: Mapping[str, nn.Module]) -> Problem:
    valid = tuple(dict.fromkeys(name.rpartition(".")[2] for name in called))
    message = f'the blocks have no linear layer "{target}"'
    if any(map(_named(target), present)):
        message = f'"{target}" is no layer that a block of this backbone calls, and peft can only stand in for such'
    return Problem(message, "method.targets", nearest=nearest_name(target, valid), valid=valid)


def _named(target: str) -> Callable[[str], bool]:
    return lambda name: name == target or name.endswith(f".{target}")


def layer_ranks(
    stream: ResidualStream,
    names: Sequence[str],
    *,
    rank: int,
    ranks: Sequence[tuple[str, int]] | None = None,
    parameters: int | None = None,
) -> dict[str, int]:
    """Layer -> its rank, of the targeted layers `names`; see `LoraModel`.

    Raises:
        UserError: a rank of what is not targeted, or is given one twice, or above the size of its layer; a budget that
            no rank fits. Every such rank is reported.
    """
    layers = linear_layers(stream)
    sizes = {name: layers[name].get_parameter("weight").shape for name in names}
    if parameters is not None:
        most = min(map(min, sizes.values()))
        rank = largest_rank(parameters, lambda r: r * sum(map(sum, sizes.values())), most)
    found, problems = dict.fromkeys(names, (rank, "method.rank")), []
    for target, own in ranks or ():
        hit = [name for name in names if _named(target)(name)]
        twice = [name for name in hit if found[name][1] == "method.ranks"]
        if not hit:
            nearest = nearest_name(target, names)
            problems.append(Problem("no targeted layer", "method.ranks", target, nearest=nearest, valid=tuple(names)))
        elif twice:
            problems.append(Problem(f"{twice[0]} is given a rank twice", "method.ranks", target))
        found |= dict.fromkeys(hit, (own, "method.ranks"))
    for name, (own, where) in found.items():
        if own > min(sizes[name]):
            message = f"is above the size of {name}, {sizes[name][1]} to {sizes[name][0]}"
            problems.append(Problem(message, where, str(own)))
    if problems:
        raise UserError(*problems)
    return {name: own for name, (own, _) in found.items()}


def called_layers(stream: ResidualStream) -> list[str]:
    """Names of the linear layers that sub-blocks call, as seen in one pass over a blank image, in its order."""
    called: list[str] = []

    def note(name: str) -> Callable[..., None]:
        return lambda *_: called.append(name)

    handles = [layer.register_forward_hook(note(name)) for name, layer in linear_layers(stream).items()]
    like = next(stream.parameters())
    try:
        with torch.no_grad():
            x, context = stream.embed(like.new_zeros(1, stream.channels, stream.image_size, stream.image_size))
            called.clear()
            for j in range(1, stream.nodes):
                x = stream.advance(j, x, context)
    finally:
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(called))


def linear_layers(stream: ResidualStream) -> dict[str, nn.Module]:
    """Linear layers of the backbone by name; of one with LoRA already those that it began with."""
    return {
        name.removesuffix(".base_layer"): module
        for name, module in stream.model.named_modules()
        if isinstance(module, nn.Linear) and ".lora_" not in name
    }
