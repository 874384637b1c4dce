"""What does one topology update of the MLP cost, by criterion, growth rule and backend?

Measured as the difference between a training step with an update and one without: a backend may have work of its own
for an update, such as a dense gradient, wherever in the step it falls.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from benchmarks.harness import Comparison, Contestant, Effort, beyond, compare
from benchmarks.mlp import BACKENDS, FULL, TINY, Variant, split, training
from benchmarks.trainings import steps_of

DENSITIES = (0.2, 0.05)
CRITERIA = ("magnitude", "set", "mest", "snip")
GROWTHS = ("gradient", "random")
AUTHORS = "the authors' code: 667 ms for magnitude and gradient at 20 %, on a comparable machine (two threads)"


def run(effort: Effort) -> Iterator[Comparison]:
    """One table per density."""
    widths = TINY if effort.quick else FULL
    rules = [(criterion, growth) for criterion in CRITERIA for growth in GROWTHS]
    for density in DENSITIES[:1] if effort.quick else DENSITIES:
        without = {backend: Variant(density, backend) for backend in BACKENDS}
        updating = {
            f"{backend}, {criterion} and {growth}": Variant(density, backend, criterion, growth, update_period=1)
            for backend in BACKENDS
            for criterion, growth in (rules[:1] if effort.quick else rules)
        }
        steps = compare(
            f"a topology update of the MLP at density {density:.0%}",
            [Contestant(name, one_step(variant, widths)) for name, variant in {**without, **updating}.items()],
            rounds=effort.rounds,
            notes=[AUTHORS],
        )
        yield beyond(steps, {name: variant.backend for name, variant in updating.items()})


def one_step(variant: Variant, widths: tuple[int, ...]) -> partial[None]:
    """The next step of a training of its own."""
    return partial(steps_of(training(variant, widths, train=split(4_500), val=split(0))), 1)
