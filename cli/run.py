"""`petlsparse run`."""

from ._study import study_command

run = study_command(
    None,
    """Train the runs of a recipe, whichever study it belongs to.

    RECIPE is the name of a shipped recipe or a TOML file. The same command again continues where it stopped.

    Examples:
        petlsparse run dst-smoke --workers 2
        petlsparse run adapter-smoke --set method.rank=4 --out results/r4
    """,
)
