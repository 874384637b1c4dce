"""Loading in which every weight of a backbone comes from the file, whatever way timm takes through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from timm.models import _builder
from torch import Tensor, nn

from petlsparse.backbones.prefixes import without_prefix
from petlsparse.backbones.timm_streams import STREAMS, TimmModel
from petlsparse.errors import Problem, UserError


@contextmanager
def strict_loading() -> Iterator[None]:
    """Let timm read weights into a model of NaN without a classifier, and refuse one in which NaN is left.

    The classifier is dropped anyway, and where it does not fit the file timm stops being strict about all else.
    Models inside of another one, such as the stem of a hybrid, are not loaded by themselves: their weights come with
    the whole, while timm would ask the hub for others first.

    Raises:
        UserError: weights that the file does not have, or that are not finite there.
    """
    original = _builder.load_pretrained

    def load(model: TimmModel, pretrained_cfg: dict[str, Any], num_classes: int, **options: Any) -> None:
        supported = isinstance(model, tuple(STREAMS))
        if not supported:
            return
        model.reset_classifier(0)
        with torch.no_grad():
            for tensor in _floats(model).values():
                tensor.fill_(torch.nan)
        options["filter_fn"] = _without_classifier(options.get("filter_fn"))
        original(model, pretrained_cfg=pretrained_cfg, num_classes=pretrained_cfg["num_classes"], **options)
        if odd := [name for name, tensor in _floats(model).items() if not tensor.isfinite().all()]:
            more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
            raise UserError(
                Problem(f"weights are missing or not finite: {', '.join(odd[:5])}{more}", where="backbone.name")
            )

    _builder.load_pretrained = load  # type: ignore[assignment]
    try:
        yield
    finally:
        _builder.load_pretrained = original


def _floats(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}


def _without_classifier(filter_fn: Callable[..., dict[str, Tensor]] | None) -> Callable[..., dict[str, Tensor]]:
    def filtered(state_dict: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
        state_dict = state_dict if filter_fn is None else filter_fn(state_dict, model)
        return {name: tensor for name, tensor in state_dict.items() if not name.startswith("head.")}

    return lambda state_dict, model: filtered(without_prefix(state_dict, model, filtered), model)
