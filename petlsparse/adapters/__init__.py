"""Adapters as edges over the residual stream of a frozen transformer (arXiv 2410.15858)."""

PLACEMENTS: dict[str, str] = {
    "explicit": "petlsparse.adapters.placements:explicit",
    "all-parallel": "petlsparse.adapters.placements:all_parallel",
    "all-sequential": "petlsparse.adapters.placements:all_sequential",
    "attention-parallel": "petlsparse.adapters.placements:attention_parallel",
    "ffn-parallel": "petlsparse.adapters.placements:ffn_parallel",
    "after-attention": "petlsparse.adapters.placements:after_attention",
    "after-ffn": "petlsparse.adapters.placements:after_ffn",
    "after-sub-blocks": "petlsparse.adapters.placements:after_sub_blocks",
    "random": "petlsparse.adapters.placements:random",
    "first-k": "petlsparse.adapters.placements:first_k",
    "last-k": "petlsparse.adapters.placements:last_k",
    "gradient-guided": "petlsparse.adapters.placements:gradient_guided",
    "top-k": "petlsparse.adapters.placements:top_k",
}
