"""A recipe's tasks and backbones, to be scored rather than trained on."""

from collections.abc import Mapping, Sequence
from typing import Any

KEPT = ("data", "backbone")
"""The tables that a score rests on."""
AXES = ("grid", "zip", "exclude")


def to_be_scored(table: Mapping[str, Any], scores: Sequence[str]) -> dict[str, Any]:
    """A recipe's table, after ancestors and flags, in which edges are scored on all its data and backbones.

    Arms that score already stay as they are, without the others. Where there is none, or other `scores` are asked
    for, there is an arm for each combination of what the arms say of data and backbone; what varies in methods and
    their training is left out.

    Args:
        table: not changed.
        scores: names; empty leaves it to the recipe, and to "srank" where it has none.
    """
    arms = [arm for arm in table.get("arms", []) if isinstance(arm, Mapping)]
    scoring = [arm for arm in arms if _kind(arm) == "score"]
    if scoring and not scores:
        return {**table, "arms": scoring, "search": "grid"}
    found: list[dict[str, Any]] = []
    for arm in arms or [{}]:
        bare = {name: value for name, value in arm.items() if name in KEPT} | _axes(arm)
        if bare not in found:
            found.append(bare)
    method = {"kind": "score", "scores": list(scores) or ["srank"]}
    bare_run = {name: value for name, value in table.get("run", {}).items() if name != "method"}
    whole = {name: value for name, value in table.items() if name not in AXES}
    return {**whole, **_axes(table), "run": bare_run, "arms": [{**arm, "method": method} for arm in found]} | {
        "search": "grid"
    }


def _kind(arm: Mapping[str, Any]) -> Any:
    method = arm.get("method")
    return method.get("kind") if isinstance(method, Mapping) else arm.get("method.kind")


def _axes(table: Mapping[str, Any]) -> dict[str, Any]:
    """What varies of data and backbone."""

    def kept(axes: Mapping[str, Any]) -> dict[str, Any]:
        return {key: values for key, values in axes.items() if key.partition(".")[0] in KEPT}

    grid, groups = kept(table.get("grid", {})), [kept(group) for group in table.get("zip", [])]
    rules = [rule for rule in table.get("exclude", []) if kept(rule) == rule]
    axes = {"grid": grid, "zip": [group for group in groups if group], "exclude": rules}
    return {name: value for name, value in axes.items() if value}
