"""Parts that data on disk lack, cut from those that are there by class, always in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor

from petlsparse.data.subset import stratified_split
from petlsparse.data.types import FolderSettings
from petlsparse.errors import Problem, UserError

PARTS = ("train", "val", "test")


class Divisible(Protocol):
    """Examples with labels, of which some can be chosen."""

    @property
    def labels(self) -> Tensor | Sequence[int]:
        """Of every example, from 0."""
        ...

    def take(self, indices: Tensor, /) -> Self:
        """The examples at ``indices`` (B,)."""
        ...


Examples = TypeVar("Examples", bound=Divisible)


def with_missing_parts(
    given: Mapping[str, Examples], origins: Mapping[str, str], settings: FolderSettings, what: str = "images"
) -> tuple[dict[str, Examples], dict[str, str]]:
    """The parts "train", "val" and "test", and in words where each comes from.

    The test part is ``test_fraction`` of everything, the validation part ``val_fraction`` of what is left. Where there
    are only "train" and "val" there are no other examples to report on: there "val" is the test part.

    Args:
        given: "train", and "val" and "test" if there are such; or just "all".
        origins: of each but "all", in words.
        settings: the fractions.
        what: the examples are called in words.

    Raises UserError for a fraction of a part that is given.
    """
    parts, made = dict(given), {part: words for part, words in origins.items() if part != "all"}
    if "val" in parts and "test" not in parts:
        parts["test"], made["test"] = parts.pop("val"), f"{made.pop('val')}, as there is no other part to report on"
    if "all" in parts:
        parts["train"], made["train"] = parts.pop("all"), "the rest"
    for part, of, fraction in (
        ("test", f"all {what}", settings.test_fraction),
        ("val", f"the {what} left", settings.val_fraction),
    ):
        if part not in parts:
            parts["train"], parts[part] = separate(parts["train"], fraction, f"folder/{part}")
            if "train" in given:
                of = f"the {what} of {origins['train']}"
            made[part] = f"{100 * fraction:g} % of {of}, class by class (data.{part}_fraction)"
        elif fraction != getattr(FolderSettings, f"{part}_fraction"):
            message = f"there is a {part} part of its own, {made[part]}"
            raise UserError(Problem(message, where=f"data.{part}_fraction", value=str(fraction)))
    return {part: parts[part] for part in PARTS}, {part: made[part] for part in PARTS}


def separate(part: Examples, fraction: float, purpose: str) -> tuple[Examples, Examples]:
    """What is kept of a part, and a fraction of it, one example at least, held out in proportion to its classes."""
    labels = torch.as_tensor(part.labels)
    exact = Fraction(str(fraction)) * len(labels)
    kept, held = stratified_split(labels, max(1, round(exact)), purpose)
    return part.take(kept), part.take(held)
