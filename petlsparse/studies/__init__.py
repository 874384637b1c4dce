"""The two studies: each turns a run into data, model and method, and hands them to the shared training core."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from petlsparse.errors import Problem, UserError
from petlsparse.registry import resolve

if TYPE_CHECKING:
    import torch

    from petlsparse.recipe.schema import Run
    from petlsparse.studies.study import Study

STUDIES = {
    "adapter-search": "petlsparse.studies.adapter_search:STUDY",
    "dst-sweep": "petlsparse.studies.dst_sweep:STUDY",
}
"""Study name -> its `study.Study`."""


@dataclass(frozen=True)
class Description:
    """A run by its settings alone, and what is there for it now. Both by columns of the `runs` table."""

    cost: Mapping[str, float]
    """Parameters and FLOPs."""
    fingerprints: Mapping[str, str]
    """Of what it would rest on."""
    derived: Mapping[str, Any] = field(default_factory=dict)
    """What follows from the settings: edges that are drawn."""


def describe(run: Run) -> Description:
    """What a run would cost and rest on. Loads the data and builds the model on the CPU.

    Raises UserError where the run itself would.
    """
    import torch

    from petlsparse.recipe.execution import INSPECT_ONLY

    (assembly,) = _study(run).assemble([run], torch.device("cpu"), INSPECT_ONLY, [{}])
    return Description(assembly.cost, assembly.fingerprints, assembly.derived)


@dataclass(frozen=True)
class Findings:
    """What `check_runs` found, by run id."""

    fingerprints: Mapping[str, Mapping[str, str]]
    """Of what each run would rest on now; lacking for runs whose data or model cannot be loaded."""
    problems: Mapping[str, Sequence[Problem]]
    """Why a run cannot be trained; empty where it can."""
    data: Sequence[str] = ()
    """A line for each data set: how many images its parts have."""
    remarks: Sequence[str] = ()
    """What is odd about them, or too small."""

    def require(
        self, run_ids: Iterable[str], locate: Callable[[Problem, str], Problem] = lambda problem, _: problem
    ) -> None:
        """Raise UserError with every problem of these runs, so that they are told before training, all at once.

        `locate` tells where the recipe says what a problem, of the run of an id, is about.
        """
        found = dict.fromkeys(locate(problem, run_id) for run_id in run_ids for problem in self.problems[run_id])
        if found:
            raise UserError(*found)


def check_runs(
    runs: Mapping[str, Run],
    device: str | None = None,
    *,
    weights: bool = True,
    examine: Callable[[Mapping[str, Run], str | None], Findings] | None = None,
) -> Findings:
    """Whether runs, given by their ids, can be assembled, and from what, as it is now.

    Those that differ in their seed alone are examined once, by `examined` with these arguments unless another function
    is given, which does it somewhere else.
    """
    alike: dict[object, list[str]] = {}
    for run_id, run in runs.items():
        alike.setdefault(run.configuration, []).append(run_id)
    first_of = {run_id: run_ids[0] for run_ids in alike.values() for run_id in run_ids}
    found = (examine or partial(examined, weights=weights))(
        {first: runs[first] for first, *_ in alike.values()}, device
    )
    known = found.fingerprints
    return replace(
        found,
        fingerprints={run_id: known[first] for run_id, first in first_of.items() if first in known},
        problems={run_id: found.problems[first] for run_id, first in first_of.items()},
    )


def examined(runs: Mapping[str, Run], device: str | None = None, *, weights: bool = True) -> Findings:
    """What is found of runs by their ids: every data set and model is loaded once, every method tried on its model.

    Given a device ("cpu", "cuda:0"), it must have the arithmetic they ask for. Without `weights` backbones have random
    ones, so that none are looked for; the fingerprints are of no use then.
    """
    from petlsparse.studies.assembly import clear_data_cache

    clear_data_cache()
    # Runs on the same data follow each other, so that these are loaded once for all models.
    groups: dict[Hashable, dict[Hashable, dict[str, Run]]] = {}
    for run_id, run in runs.items():
        groups.setdefault(run.data, {}).setdefault((run.study, _study(run).model(run)), {})[run_id] = run
    findings = [_examined(group, device, weights) for by_model in groups.values() for group in by_model.values()]
    return Findings(
        {run_id: found for each in findings for run_id, found in each.fingerprints.items()},
        {run_id: found for each in findings for run_id, found in each.problems.items()},
        tuple(dict.fromkeys(line for each in findings for line in each.data)),
        tuple(dict.fromkeys(line for each in findings for line in each.remarks)),
    )


def _examined(runs: Mapping[str, Run], device: str | None, weights: bool) -> Findings:
    """Runs with the same data and model."""
    import torch

    from petlsparse.data.description import remarks, summary
    from petlsparse.recipe.execution import INSPECT_ONLY
    from petlsparse.studies.assembly import source_fingerprints
    from petlsparse.studies.lengths import length_problems
    from petlsparse.studies.optimizers import optimizer_problems
    from petlsparse.studies.selection import selection_problems
    from petlsparse.training.arithmetic import missing_arithmetic

    def of_settings(run: Run) -> list[Problem]:
        problem = missing_arithmetic(run.training.precision, device) if device is not None else None
        return [*([problem] if problem else []), *optimizer_problems(run), *selection_problems(run)]

    first = next(iter(runs.values()))
    study = _study(first)
    shown = first.model_copy(update={"method": study.plain_method})  # what is wrong with it is wrong with all of them
    try:
        shown = shown if weights else study.without_weights(shown)
        (assembly,) = study.assemble([shown], torch.device("cpu"), INSPECT_ONLY, [{}])
    except UserError as error:
        return Findings({}, {run_id: [*of_settings(run), *error.problems] for run_id, run in runs.items()})

    @cache
    def tried(method: Hashable) -> tuple[Problem, ...]:
        try:
            study.check_method(method, assembly.method.model)
        except UserError as error:
            return error.problems
        return ()

    examples = len(assembly.dataset.train)
    problems = {
        run_id: [
            *of_settings(run),
            *tried(run.method),
            *length_problems(run, examples),
        ]
        for run_id, run in runs.items()
    }
    data = assembly.dataset
    shared = {name: value for name, value in assembly.fingerprints.items() if name != "source_fingerprint"}
    fingerprints = {run_id: shared | source_fingerprints(run) for run_id, run in runs.items()}
    return Findings(fingerprints, problems, [summary(data)], remarks(data))


def probe_seconds(run: Run, device: torch.device) -> float:
    """Seconds the whole run would take by itself on this device, extrapolated from a few real steps."""
    from petlsparse.recipe.execution import Execution
    from petlsparse.studies.assembly import arithmetic_of
    from petlsparse.studies.probe import extrapolated_seconds

    with arithmetic_of(run, device):
        return extrapolated_seconds(_study(run), run, device, Execution())


def _study(run: Run) -> Study:
    study: Study = resolve(STUDIES, run.study, "study")
    return study
