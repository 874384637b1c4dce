"""Shell completion of the names of recipes, studies and metrics, of run ids and of results folders."""

from collections.abc import Iterator
from pathlib import Path

RESULTS = Path("results")


def recipe_names(incomplete: str) -> Iterator[str]:
    """Names of shipped recipes and TOML files that begin like this."""
    from petlsparse.recipe import shipped_recipes

    yield from (name for name in shipped_recipes() if name.startswith(incomplete))
    folder = Path(incomplete).parent if "/" in incomplete else Path()
    yield from (str(path) for path in folder.glob("*.toml") if str(path).startswith(incomplete))


def study_names(incomplete: str) -> Iterator[str]:
    """Studies that begin like this."""
    from petlsparse.studies import STUDIES

    yield from (name for name in STUDIES if name.startswith(incomplete))


def score_names(incomplete: str) -> Iterator[str]:
    """Scores of edges that begin like this."""
    from petlsparse.scores import SCORES

    yield from (name for name in SCORES if name.startswith(incomplete))


def metric_names(incomplete: str) -> Iterator[str]:
    """Metrics, and the loss, that begin like this."""
    from petlsparse.tracking.tables import MEASURES

    yield from (name for name in MEASURES if name.startswith(incomplete))


def run_ids(incomplete: str) -> Iterator[str]:
    """Ids that begin like this of runs in the stores under `results/`."""
    yield from (path.name for path in RESULTS.glob(f"**/runs/{incomplete}*") if len(path.name) == 12 and path.is_dir())


def stores(incomplete: str) -> Iterator[str]:
    """Folders under `results/` that hold a store."""
    found = (str(path.parent) for path in RESULTS.glob("**/plan.json"))
    yield from (store for store in found if store.startswith(incomplete))
