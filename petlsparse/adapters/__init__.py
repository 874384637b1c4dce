"""Adapters as edges over the residual stream of a frozen transformer (arXiv 2410.15858)."""

PLACEMENTS: dict[str, str] = {
    "explicit": "petlsparse.adapters.placements:explicit",
    "all-parallel": "petlsparse.adapters.placements:all_parallel",
    "all-sequential": "petlsparse.adapters.placements:all_sequential",
    "random": "petlsparse.adapters.placements:random",
    "first-k": "petlsparse.adapters.placements:first_k",
    "last-k": "petlsparse.adapters.placements:last_k",
    "gradient-guided": "petlsparse.adapters.placements:gradient_guided",
    "top-k": "petlsparse.adapters.placements:top_k",
}
