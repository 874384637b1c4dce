"""What the commands of a store set out to do: `plan.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from petlsparse.tracking.record import SCHEMA_VERSION, refuse_other


@dataclass(frozen=True)
class Plan:
    """What a command set out to do: a recipe and the ids of its runs, in order."""

    recipe: str
    run_ids: tuple[str, ...] = ()
    text: str = ""
    """The recipe file as written."""
    resolved: Mapping[str, Any] | None = None
    """The recipe after `extends` and overrides."""
    roles: Mapping[str, str] = field(default_factory=dict)
    """What a search asked for runs as, by run id: "candidate" or "final"."""
    then: str = ""
    """What it asks for once all of them have a result; empty where nothing follows."""

    def proposed(self, run_id: str) -> str:
        """What asked for one of its runs: `best-of, candidate 3 of 12`; empty where no search did."""
        if (role := self.roles.get(run_id)) is None:
            return ""
        same_role = [each for each in self.run_ids if self.roles.get(each) == role]
        search = (self.resolved or {}).get("search", {}).get("name", "a search")
        return f"{search}, {role} {same_role.index(run_id) + 1} of {len(same_role)}"

    def of_same_recipe(self, other: Plan) -> bool:
        """Whether the other plan is that of the same recipe with the same flags."""
        return (self.recipe, self.text, self.resolved) == (other.recipe, other.text, other.resolved)


@dataclass(frozen=True)
class Plans:
    """The plans of all commands, the latest last, each once; and all their runs in order of first appearance."""

    commands: tuple[Plan, ...] = ()
    run_ids: tuple[str, ...] = ()

    def then(self, plan: Plan) -> Plans:
        """These, with `plan` as the latest; an earlier one of the same recipe grows into it."""
        same = [each for each in self.commands if each.of_same_recipe(plan)]
        run_ids = dict.fromkeys(run_id for each in (*same, plan) for run_id in each.run_ids)
        roles = {run_id: role for each in (*same, plan) for run_id, role in each.roles.items()}
        others = (each for each in self.commands if each not in same)
        grown = replace(plan, run_ids=tuple(run_ids), roles=roles)
        return Plans((*others, grown), tuple(dict.fromkeys([*self.run_ids, *plan.run_ids])))

    def proposed(self, run_id: str) -> str:
        """What the latest command that asked for a run says of it; see `Plan.proposed`."""
        return next((plan.proposed(run_id) for plan in reversed(self.commands) if run_id in plan.run_ids), "")

    @property
    def roles(self) -> dict[str, str]:
        """What searches asked for runs as, by run id: the latest command that asked for a run says it, or nothing."""
        roles: dict[str, str | None] = {}
        for plan in self.commands:
            roles |= {**dict.fromkeys(plan.run_ids), **plan.roles}
        return {run_id: role for run_id, role in roles.items() if role is not None}

    def to_json(self) -> dict[str, Any]:
        """A JSON document with `schema_version`."""
        commands = [
            {name: getattr(plan, name) for name in ("recipe", "text", "resolved", "run_ids", "roles", "then")}
            for plan in self.commands
        ]
        return {"schema_version": SCHEMA_VERSION, "run_ids": self.run_ids, "commands": commands}

    @classmethod
    def from_json(cls, text: str | bytes, where: str = "") -> Plans:
        """Read what `to_json` gave; before there was "commands", the document was the plan of the only command.

        Raises ValueError for anything else, and UserError for a newer schema.
        """
        try:
            document = json.loads(text)
            refuse_other(document["schema_version"], where)
            commands = tuple(_plan(each) for each in document.get("commands", [document]))
            return cls(commands, _run_ids(document))
        except (TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a plan: {type(error).__name__}: {error}") from error


def _plan(document: Mapping[str, Any]) -> Plan:
    recipe, text, resolved = (document[name] for name in ("recipe", "text", "resolved"))
    if not isinstance(recipe, str) or not isinstance(text, str) or not isinstance(resolved, dict | None):
        raise TypeError("a recipe is a name, a text and a table")
    roles, then = document.get("roles", {}), document.get("then", "")
    if not isinstance(then, str) or not all(isinstance(role, str) for role in roles.values()):
        raise TypeError("what searches say are strings")
    return Plan(recipe, _run_ids(document), text, resolved, roles, then)


def _run_ids(document: Mapping[str, Any]) -> tuple[str, ...]:
    run_ids = document["run_ids"]
    if not isinstance(run_ids, list) or not all(isinstance(run_id, str) for run_id in run_ids):
        raise TypeError("run_ids are a list of strings")
    return tuple(run_ids)
