"""What does sparsity save? A whole training step and a whole epoch, truly sparse against masked against dense."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.harness import Comparison, Contestant, Effort, compare, matmul
from benchmarks.mlp import BACKENDS, BATCH, FULL, TINY, Variant, split, step_flops, training
from benchmarks.trainings import steps_of
from petlsparse.training.loop_settings import steps_per_epoch

DENSITIES = (0.2, 0.1, 0.05, 0.02, 0.01)
UPDATE_PERIOD = 100
UPDATES = f"every {UPDATE_PERIOD} steps a topology update, magnitude and gradient"
STEPS = 5
"""Steps per measurement."""


def run(effort: Effort) -> Iterator[Comparison]:
    """One table per density and length."""
    widths = TINY if effort.quick else FULL
    train, val = map(split, (300, 50) if effort.quick else (45_000, 5_000))
    net = f"the MLP {'-'.join(map(str, (3072, *widths, 10)))}, batch {BATCH}"
    densities = DENSITIES[-1:] if effort.quick else DENSITIES
    for density in densities:
        variants = [*(Variant(density, backend) for backend in BACKENDS), Variant()]
        yield compare(
            f"{STEPS} training steps of {net}, density {density:.0%}",
            [
                Contestant(
                    str(variant),
                    partial(steps_of(training(variant, widths, train=train, val=val)), STEPS),
                    STEPS * step_flops(variant, widths),
                )
                for variant in variants
            ],
            rounds=effort.rounds,
            roof=matmul(BATCH, 3072, widths[0]),
            notes=["augmentation and normalisation included; no topology update"],
        )
    steps = steps_per_epoch(len(train), BATCH)
    for density in densities:
        variants = [*(Variant(density, backend, update_period=UPDATE_PERIOD) for backend in BACKENDS), Variant()]
        yield compare(
            f"an epoch of {len(train):,} images of {net}, density {density:.0%}",
            [
                Contestant(str(variant), partial(steps_of(training(variant, widths, train=train, val=val)), steps))
                for variant in variants
            ],
            rounds=effort.at_most(5),
            notes=[f"validation on {len(val):,} images included", UPDATES],
        )
