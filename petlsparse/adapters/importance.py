"""How much of a map each trained adapter is."""

from __future__ import annotations

from petlsparse.adapters.adapter import Adapter
from petlsparse.adapters.models import PlacedAdapters


def edge_rows(model: PlacedAdapters) -> list[dict[str, object]]:
    """Rows of the `edges` table for the adapters as they are now.

    Per edge: "scale", the trained alpha, and "update_norm", the Frobenius norm of alpha W_down W_up, which is 0 for
    a fresh adapter and grows with what a trained one does.
    """
    rows: list[dict[str, object]] = []
    for edge in model.edges:
        adapter = model.adapters[str(edge)]
        assert isinstance(adapter, Adapter)
        for score, value in {"scale": adapter.alpha.item(), "update_norm": adapter.update_norm()}.items():
            rows.append({**edge._asdict(), "kind": edge.kind, "score_name": score, "value": value})
    return rows
