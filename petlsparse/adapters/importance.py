"""How much of a map each trained adapter is."""

from __future__ import annotations

from petlsparse.adapters.adapter import Adapter
from petlsparse.adapters.models import PlacedAdapters


def edge_rows(model: PlacedAdapters) -> list[dict[str, object]]:
    """Rows of the `edges` table for the adapters as they are now.

    Per edge: "scale", which is alpha, or its mean over channels, and "update_norm", the Frobenius norm of
    alpha W_down W_up, which grows with what a trained adapter does; it starts at 0 where W_up does.
    """
    rows: list[dict[str, object]] = []
    for edge in model.edges:
        adapter = model.adapters[str(edge)]
        assert isinstance(adapter, Adapter)
        for score, value in {"scale": adapter.alpha.mean().item(), "update_norm": adapter.update_norm()}.items():
            rows.append({**edge._asdict(), "kind": edge.kind, "score_name": score, "value": value})
    return rows
