"""`petlsparse dst-sweep`."""

from ._study import study_command

dst_sweep = study_command(
    "dst-sweep",
    """Train sparse networks from scratch with different criteria for what to prune.

    RECIPE is the name of a shipped recipe or a TOML file. The same command again continues where it stopped.

    Examples:
        petlsparse dst-sweep dst-smoke --workers 2
        petlsparse dst-sweep dst-smoke --axis method.density=0.02,0.1 --seeds 1-5
    """,
)
