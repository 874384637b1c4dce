"""Executing a plan: what has no result yet goes to workers until all is done or somebody stops it.

A run's result depends on its settings alone, so neither order nor number of workers matters. To resume is to run the
same command again: results are kept, stopped runs go on from their checkpoint, failed ones are tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import ExitStack

from petlsparse.cohorts.keys import cohort_key
from petlsparse.launch.cache import shared_cache
from petlsparse.launch.devices import device_slots, resolve_device
from petlsparse.launch.events import CommandSummary, Event, Progressed, Waiting
from petlsparse.launch.in_process import InProcessLauncher
from petlsparse.launch.interruption import Interruption
from petlsparse.launch.launcher import Launcher
from petlsparse.launch.local import LocalLauncher
from petlsparse.launch.session import Session, closing
from petlsparse.recipe.execution import Execution
from petlsparse.recipe.loading import Recipe
from petlsparse.recipe.recipe_file import Launch
from petlsparse.recipe.schema import Run
from petlsparse.searches.search import Batch, drive, search_of
from petlsparse.studies import STUDIES
from petlsparse.tracking.record import Record
from petlsparse.tracking.store import Store

RETRY = 1


def execute_plan(
    recipe: Recipe,
    store: Store,
    *,
    studies: Mapping[str, str] = STUDIES,
    device: str = "auto",
    launcher: Launcher | None = None,
    limit: int | None = None,
    lock_timeout: float | None = None,
    cohort_key: Callable[[Run, str, Execution], Hashable | None] = cohort_key,
    estimate: Callable[[Run], float] | None = None,
    accepted: Collection[str] | None = None,
    redo: Callable[[Record], bool] = lambda _: False,
    on_batch: Callable[[Batch], None] = lambda _: None,
    on_event: Callable[[Event], None] = lambda _: None,
) -> CommandSummary:
    """Bring what the search of `recipe` asks for to a result in `store`, and compact its tables whatever happens.

    Args:
        recipe: its runs and search, and the choices of the command in `launch`, where None means:
            `workers`: one per core, or `per_gpu` per GPU; 0 executes in this process. `per_gpu`: 1.
            `retry`: 1 further execution, in this command, of a run whose worker died or ran out of memory, from its
            checkpoint; other failures, and earlier commands' failures, are tried once per command.
            `backend`: "auto".
            `cache_memory`: half of the memory available, and never more than half of the free disk space.
            `cohort`: "auto" shares runs that may be trained as one evenly among the workers; how many of these fit into
            memory is the study's business.
        store: where results are, and go.
        studies: study name -> "module:attribute" of its `Study`.
        device: "auto", "cpu", "cuda" or "cuda:N".
        launcher: what executes the runs, and is closed at the end; see `launcher_for` for what does unless given.
        limit: execute at most this many runs, the first that are asked for.
        lock_timeout: seconds to wait for a store that another command holds; None waits for ever.
        cohort_key: runs of equal key, given the device, may be trained as one; those of key None are trained alone.
        estimate: expected cost of a run, in any unit; the costliest start first. Without it the recipe's order stays.
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
    with ExitStack() as held:
        try:
            device = resolve_device(device)
            launcher = launcher or launcher_for(device, launch, on_event)
            held.enter_context(store.lock(wait=lock_timeout, on_wait=lambda holder: on_event(Waiting(holder))))
            cache_folder, cache_size = held.enter_context(shared_cache(store.path, launch.cache_memory))
        except BaseException:
            if launcher is not None:
                launcher.close()
            raise
        session = Session(
            recipe,
            store,
            studies,
            launcher,
            Execution(
                backend=launch.backend or "auto",
                cache_memory=cache_size,
                cache_folder=cache_folder,
                cohort=launch.cohort or "auto",
                workers_per_device=launcher.workers_per_device,
            ),
            retry=RETRY if launch.retry is None else launch.retry,
            interruption=Interruption(store.stop_file),
            device=device,
            cohort_key=cohort_key,
            estimate=estimate,
            accepted=accepted,
            redo=redo,
            on_batch=on_batch,
            on_event=on_event,
            limit=limit,
        )
        with closing(session):
            drive(search_of(recipe), session.execute)
    return session.summary


def launcher_for(device: str, launch: Launch, on_event: Callable[[Event], None] = lambda _: None) -> Launcher:
    """Processes on this machine, see `device_slots`; for 0 workers this process, which tells progress to `on_event`.

    Raises UserError for a device that does not exist.
    """
    if launch.workers == 0:
        return InProcessLauncher(device, lambda run_ids, progress: on_event(Progressed(tuple(run_ids), progress)))
    return LocalLauncher(device_slots(device, launch.workers, launch.per_gpu or 1))
