"""Short names of methods for tables: `dst magnitude/random d=0.1`, `random-12 r=8 placement_seed=3`."""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence

from petlsparse.analysis.quantities import known
from petlsparse.analysis.runs import Runs

Fields = Mapping[str, object]
EDGES_SHOWN = 3
_SAYS_EDGES = (
    "explicit", "all-parallel", "all-sequential", "attention-parallel", "ffn-parallel", "after-attention", "after-ffn",
    "after-sub-blocks", "first-k", "last-k",
)  # fmt: skip


def method_label(fields: Fields, varying: Collection[str] = ()) -> str:
    """Name one method.

    Args:
        fields: the method's settings without their `method_` prefix; those of other kinds are None.
        varying: fields that take more than one value among the compared methods of this kind; those that the
            kind's own label leaves missing are appended as `name=value` where the method has them: different methods
            read differently.
    """
    kind = str(fields["kind"])
    head, named = _LABELS.get(kind, _kind)(fields)
    missing = [name for name in fields if name in varying and name not in (*named, "kind") and _has(fields, name)]
    return " ".join([head, *(f"{name}={setting(fields[name])}" for name in missing)])


def method_labels(methods: Sequence[Fields]) -> list[str]:
    """Name several methods of one study, by the settings without their `method_` prefix.

    Different methods get different names: two that would read the same, such as long lists of edges, get six hex of
    the hash of their settings, which do not depend on what they are compared with.
    """
    values: dict[tuple[object, str], set[object]] = {}
    for fields in methods:
        for name in fields:
            if _has(fields, name):
                values.setdefault((fields["kind"], name), set()).add(fields[name])
    varying = {kind: {n for k, n in values if k == kind and len(values[k, n]) > 1} for kind, _ in values}
    labels = [method_label(fields, varying[fields["kind"]]) for fields in methods]
    hashes = [_hash(fields) for fields in methods]
    meanings: dict[str, set[str]] = {}
    for label, meant in zip(labels, hashes, strict=True):
        meanings.setdefault(label, set()).add(meant)
    return [
        f"{label} #{meant[:6]}" if len(meanings[label]) > 1 else label
        for label, meant in zip(labels, hashes, strict=True)
    ]


def _has(fields: Fields, name: str) -> bool:
    """Whether a method has a setting: those of one criterion, for instance, are missing in the others."""
    value = fields[name]
    return value is not None and value == value


def _hash(fields: Fields) -> str:
    text = json.dumps({name: setting(value) for name, value in sorted(fields.items()) if value is not None})
    return hashlib.sha256(text.encode()).hexdigest()


def setting(value: object) -> str:
    """A setting's value as a table shows it: every digit, without the `.0` that missing neighbours give integers."""
    if known(value) is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and not (value.is_integer() and abs(value) < 2**53):
        return repr(float(value))
    return str(int(value))  # type: ignore[call-overload]


def _kind(fields: Fields) -> tuple[str, tuple[str, ...]]:
    return str(fields["kind"]), ()


def _static(fields: Fields) -> tuple[str, tuple[str, ...]]:
    return f"static d={setting(fields['density'])}", ("density",)


def _dst(fields: Fields) -> tuple[str, tuple[str, ...]]:
    named = ("criterion", "growth", "density")
    return f"dst {fields['criterion']}/{fields['growth']} d={setting(fields['density'])}", named


def _adapters(fields: Fields) -> tuple[str, tuple[str, ...]]:
    placement = str(fields["placement"])
    named = ["placement", "rank", *(f"placement_{name}" for name in ("edges", "count"))]
    label = edge_names(fields["placement_edges"]) if placement == "explicit" else placement
    if known(fields.get("placement_count")) is not None:
        label = f"{placement.removesuffix('-k')}-{setting(fields['placement_count'])}"
    if known(fields.get("placement_count")) is not None and fields.get("score"):
        label += f" by {fields['score']}"
        named.append("score")
    if placement == "random":
        named.append("placement_edge_kind")
        kind = fields.get("placement_edge_kind") or "any"
        label += "" if kind == "any" else f" {kind}"
    return f"{label} {_rank(fields, named)}", tuple(named)


def _lora(fields: Fields) -> tuple[str, tuple[str, ...]]:
    try:
        targets = "+".join(json.loads(str(fields["targets"])))
    except (ValueError, TypeError):
        targets = str(fields["targets"])
    named = ["targets", "rank"]
    return f"lora {targets} {_rank(fields, named)}", tuple(named)


def _rank(fields: Fields, named: list[str]) -> str:
    """The rank, or what says it in its place, whose name is added to those of the label."""
    if known(fields.get("parameters")) is not None:
        named.append("parameters")
        return f"within {setting(fields['parameters'])}"
    if "ranks" in fields and _has(fields, "ranks"):
        named.append("ranks")
        return f"r={setting(fields['rank'])}, some others"
    return f"r={setting(fields['rank'])}"


def _layer_wise_probe(fields: Fields) -> tuple[str, tuple[str, ...]]:
    return f"{fields['kind']} node={setting(fields['node'])}", ("node",)


def edges_unsaid(runs: Runs) -> bool:
    """Whether the label of a configuration does not tell its edges: they are drawn, or what a function comes to."""
    return runs["method_placement"][0] not in (None, *_SAYS_EDGES)


def edge_names(text: object, most: int = EDGES_SHOWN) -> str:
    """The first edges of a JSON list, `3→4 5→9 +10 more`; what else a record may hold there as it is."""
    try:
        edges = [f"{source}→{target}" for source, target in json.loads(str(text))]
    except (ValueError, TypeError):
        return f"explicit {text}"
    more = len(edges) - most
    return " ".join([*edges[:most], *([f"+{more} more"] if more > 0 else [])])


_LABELS: dict[str, Callable[[Fields], tuple[str, tuple[str, ...]]]] = {
    "static": _static,
    "dst": _dst,
    "adapters": _adapters,
    "lora": _lora,
    "layer-wise-probe": _layer_wise_probe,
}
