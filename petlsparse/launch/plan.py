"""Executing a plan: what has no result yet goes to workers until all is done or somebody stops it.

A run's result depends on its settings alone, so neither order nor number of workers matters. To resume is to run the
same command again: results are kept, stopped runs go on from their checkpoint, failed ones are tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping

from petlsparse.launch.cache import shared_cache
from petlsparse.launch.devices import device_slots, resolve_device
from petlsparse.launch.events import Event, Progressed, Summary, Waiting
from petlsparse.launch.in_process import InProcessLauncher
from petlsparse.launch.interruption import Interruption
from petlsparse.launch.launcher import Launcher
from petlsparse.launch.local import LocalLauncher
from petlsparse.launch.session import Session, ending
from petlsparse.recipe.execution import Backend, CohortSize, Execution
from petlsparse.recipe.loading import Recipe
from petlsparse.recipe.schema import Run
from petlsparse.searches.search import Batch, drive, search_of
from petlsparse.tracking.record import Record
from petlsparse.tracking.store import Store

RETRY = 1


def execute_plan(
    recipe: Recipe,
    store: Store,
    *,
    studies: Mapping[str, str],
    device: str = "auto",
    workers: int | None = None,
    per_gpu: int | None = None,
    retry: int | None = None,
    backend: Backend | None = None,
    cache_memory: int | None = None,
    cohort: CohortSize | None = None,
    cohort_key: Callable[[Run, Execution], Hashable | None] = lambda *_: None,
    limit: int | None = None,
    estimate: Callable[[Run], float] | None = None,
    patience: float | None = None,
    accepted: Collection[str] | None = None,
    redo: Callable[[Record], bool] = lambda _: False,
    on_batch: Callable[[Batch], None] = lambda _: None,
    on_event: Callable[[Event], None] = lambda _: None,
) -> Summary:
    """Bring what the search of `recipe` asks for to a result in `store`, and compact its tables whatever happens.

    Args:
        recipe: its runs and search, and the defaults of `workers`, `per_gpu`, `retry`, `backend`, `cache_memory` and
            `cohort`.
        store: where results are, and go.
        studies: study name -> "module:execute", what a worker calls.
        device: "auto", "cpu", "cuda" or "cuda:N".
        workers: number of processes; 0 executes in this one. By default one per core, or `per_gpu` per GPU.
        per_gpu: workers that share a GPU.
        retry: further executions, in this command, of a run whose worker died or ran out of memory, each from its
            checkpoint (default 1). Other failures, and earlier commands' failures, are tried once per command.
        backend: of sparse layers, "auto" unless given.
        cache_memory: bytes that values of frozen networks, kept for all runs, may take; by default half of the memory
            available, and never more than half of the free disk space. 0 keeps none.
        cohort: how many runs a worker is handed at most, to be trained as one. "auto", the default, shares them evenly
            among the workers; how many of these fit into memory is the study's business. "off": one at a time.
        cohort_key: runs of equal key may be trained as one; those of key None, all unless given, are trained alone.
        limit: execute at most this many runs, the first that are asked for.
        estimate: expected cost of a run, in any unit; the costliest start first. Without it the recipe's order stays.
        patience: seconds to wait for a store that another command holds; None waits for ever.
        accepted: ids of runs whose results stand as they are; all unless given. Others may have come to a result since
            somebody looked, by another command that held the store.
        redo: whether such another result, given its record, is to be set aside in its run's folder and the run done
            again. May raise UserError; nothing was trained then.
        on_batch: is told each batch of runs that the search asks for, before anything is done for it. May raise
            UserError, which ends the command.
        on_event: is told what happens, in this thread.

    The first signal (see `interruption.SIGNALS`) lets every worker write a checkpoint and stop, a second one ends them
    at once; both return a summary with `interrupted`.

    Raises:
        UserError: the store cannot be written or stays held, or the device does not exist.
    """
    launch = recipe.launch
    per_gpu = per_gpu or launch.per_gpu or 1
    launcher = launcher_for(device, launch.workers if workers is None else workers, per_gpu, on_event)
    cache_memory = launch.cache_memory if cache_memory is None else cache_memory
    with (
        store.lock(wait=patience, on_wait=lambda holder: on_event(Waiting(holder))),
        shared_cache(store.path, cache_memory) as (cache_folder, cache_size),
    ):
        session = Session(
            recipe,
            store,
            studies,
            launcher,
            Execution(
                backend=backend or launch.backend or "auto",
                cache_memory=cache_size,
                cache_folder=cache_folder,
                checkpoint_seconds=recipe.output.checkpoint_seconds,
                cohort=cohort or launch.cohort or "auto",
                sharers=launcher.capacity if resolve_device(device) == "cpu" else per_gpu,
            ),
            retry=next(number for number in (retry, launch.retry, RETRY) if number is not None),
            interruption=Interruption(store.stop_file),
            cohort_key=cohort_key,
            estimate=estimate,
            accepted=accepted,
            redo=redo,
            on_batch=on_batch,
            on_event=on_event,
            limit=limit,
        )
        with ending(session):
            drive(search_of(recipe), session.execute)
    return session.summary


def launcher_for(
    device: str, workers: int | None, per_gpu: int, on_event: Callable[[Event], None] = lambda _: None
) -> Launcher:
    """Processes on this machine, see `device_slots`; for 0 workers this process, which tells progress to `on_event`.

    Raises UserError for a device that does not exist.
    """
    if workers == 0:
        return InProcessLauncher(
            resolve_device(device), lambda run_id, progress: on_event(Progressed(run_id, progress))
        )
    return LocalLauncher(device_slots(device, workers, per_gpu))
