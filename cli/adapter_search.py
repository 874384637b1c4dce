"""`petlsparse adapter-search`."""

from ._study import study_command

adapter_search = study_command(
    "adapter-search",
    """Train adapters at different places of a frozen pre-trained transformer.

    RECIPE is the name of a shipped recipe or a TOML file. The same command again continues where it stopped.

    Examples:
        petlsparse adapter-search adapter-smoke --workers 2
        petlsparse adapter-search adapter-smoke --set method.rank=4 --out results/r4
    """,
)
