"""`petlsparse dst-sweep`."""

from ._study import study_command

dst_sweep = study_command(
    "dst-sweep",
    """Train sparse networks from scratch with different criteria for what to prune.

    RECIPE is the name of a shipped recipe or a TOML file. The same command again continues where it stopped.
    """,
)
