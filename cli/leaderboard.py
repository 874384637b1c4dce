"""`petlsparse leaderboard`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from petlsparse.errors import UserError

from . import _console
from ._complete import stores as store_names
from ._options import Json


def leaderboard(
    stores: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Results folders.", autocompletion=store_names)
    ],
    json: Json = False,
) -> None:
    """Say which score of edges foretells what a single adapter gains.

    Of folders that hold both: runs of kind score, and runs of adapters with one edge, as the search each-edge trains.

    Examples:
        petlsparse leaderboard results/score-leaderboard
    """
    from petlsparse.analysis.leaderboard import FEWEST, REGRET_AT
    from petlsparse.analysis.leaderboard import leaderboard as standings_of
    from petlsparse.analysis.load import load_runs
    from petlsparse.tracking.snapshot import Snapshot

    standings = [each for folder in stores for each in standings_of(Snapshot.of(folder), load_runs([folder]))]
    if not standings:
        where = ", ".join(map(str, stores))
        raise UserError(f"{where}: no data set with at least {FEWEST} edges that were trained by themselves")
    if json:
        _console.print_json([vars(each) for each in standings])
        return
    headers = ("data", "backbone", "score", "Spearman", *(f"regret@{k}" for k in REGRET_AT), "edges")
    rows = [
        (
            each.data,
            each.backbone,
            each.score,
            f"{each.correlation:.2f}",
            *(f"{each.regret[k]:.2f}" for k in REGRET_AT),
            str(each.edges),
        )
        for each in standings
    ]
    _console.out.print(_console.grid(headers, rows, right=headers[3:]))
    few, many = min(each.seeds[0] for each in standings), max(each.seeds[1] for each in standings)
    n = str(few) if few == many else f"{few} to {many}"
    note = (
        f"Spearman: rank correlation with the mean test accuracy of single edges over n = {n} seeds. "
        "regret@k: points from the best edge to the best of the k that the score puts first. "
        "another seed: what the accuracies of one seed foretell of the others', as far as a score could get."
    )
    _console.out.print(Text(note, style="dim"))
