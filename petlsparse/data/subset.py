"""Choosing examples: class-balanced subsets and class-stratified splits, the same ones on every machine."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from petlsparse.data.rng import permutation, rng_for
from petlsparse.errors import Problem, UserError


def balanced_subset(labels: Tensor, count: int) -> Tensor:
    """Indices (count,), ascending, of a subset in which the classes are as equally frequent as they can be.

    The subsets are nested: a larger one holds every smaller one. A class that runs out leaves its share to the
    others. Raises UserError for a count below 1 or above the number of labels (N,).
    """
    if not 1 <= count <= len(labels):
        message = f"must be between 1 and the {len(labels)} examples to train on"
        raise UserError(Problem(message, where="data.train_examples", value=str(count)))
    rank = rank_in_class(labels.numpy(), "balanced-subset")
    return torch.from_numpy(np.sort(np.argsort(rank, kind="stable")[:count]))


def stratified_split(labels: Tensor, held_out: int, purpose: str) -> tuple[Tensor, Tensor]:
    """Indices, ascending, of the kept part and of ``held_out`` examples taken from the classes in proportion.

    From every class the same share, rounded. The share is what makes the sum right: where many classes have a single
    example it may differ from ``held_out`` / N, and a large class then gives more than one example more or less.
    """
    quantile = (rank_in_class(labels.numpy(), purpose) + 0.5) / np.bincount(labels.numpy())[labels.numpy()]
    order = np.argsort(quantile, kind="stable")
    return torch.from_numpy(np.sort(order[held_out:])), torch.from_numpy(np.sort(order[:held_out]))


def rank_in_class(labels: np.ndarray, purpose: str) -> np.ndarray:
    """Every example's place, from 0, in a random order of its own class (N,)."""
    shuffled = permutation(rng_for(purpose), len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    rank = np.empty(len(labels), dtype=np.int64)
    rank[by_class] = np.arange(len(labels)) - starts
    return rank
