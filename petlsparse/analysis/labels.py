"""Short names of methods for tables: `dst magnitude/random d=0.1`, `random-12 r=8 draw=3`."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence

from petlsparse.analysis.quantities import known

Fields = Mapping[str, object]
_EDGES_SHOWN = 3


def method_label(fields: Fields, varying: Collection[str] = ()) -> str:
    """Name one method.

    Args:
        fields: the method's settings without their `method_` prefix; those of other kinds are None.
        varying: fields that take more than one value among the compared methods of this kind; those that the
            kind's own label leaves unsaid are appended as `name=value`: different methods read differently.
    """
    kind = str(fields["kind"])
    head, said = _LABELS.get(kind, _plain)(fields)
    unsaid = [name for name in fields if name in varying and name not in (*said, "kind")]
    return " ".join([head, *(f"{name}={setting(fields[name])}" for name in unsaid)])


def setting(value: object) -> str:
    """A setting's value as a table shows it; without the `.0` that missing neighbours give integers."""
    return f"{value:g}" if known(value) is not None and not isinstance(value, bool) else str(value)


def _plain(fields: Fields) -> tuple[str, tuple[str, ...]]:
    return str(fields["kind"]), ()


def _static(fields: Fields) -> tuple[str, tuple[str, ...]]:
    return f"static d={setting(fields['density'])}", ("density",)


def _dst(fields: Fields) -> tuple[str, tuple[str, ...]]:
    said = ("criterion", "growth", "density")
    return f"dst {fields['criterion']}/{fields['growth']} d={setting(fields['density'])}", said


def _adapters(fields: Fields) -> tuple[str, tuple[str, ...]]:
    placement = str(fields["placement"])
    said = ["placement", "rank", "edges", "count", "edge_kind"]
    if placement == "random":
        kind = fields.get("edge_kind") or "any"
        label = f"random-{setting(fields['count'])}" + ("" if kind == "any" else f" {kind}")
    else:
        said.append("draw")  # means nothing here
        label = _explicit(json.loads(str(fields["edges"]))) if placement == "explicit" else placement
        if known(fields.get("count")) is not None:
            label = f"{placement.removesuffix('-k')}-{setting(fields['count'])}"
    return f"{label} r={setting(fields['rank'])}", tuple(said)


def _explicit(edges: Sequence[tuple[int, int]]) -> str:
    shown = [f"{source}→{target}" for source, target in edges[:_EDGES_SHOWN]]
    more = len(edges) - len(shown)
    return " ".join([*shown, f"+{more} more"] if more else shown)


_LABELS: dict[str, Callable[[Fields], tuple[str, tuple[str, ...]]]] = {
    "static": _static,
    "dst": _dst,
    "adapters": _adapters,
}
