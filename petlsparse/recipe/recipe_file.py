"""The shape of a recipe file: what is fixed, what varies, what is left out. What a run may hold, `schema` says."""

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from petlsparse.recipe.durations import Duration
from petlsparse.recipe.execution import Backend, CohortSize
from petlsparse.recipe.fields import OneOf, PositiveDuration
from petlsparse.recipe.origins import KeyPath
from petlsparse.recipe.sizes import parse_size
from petlsparse.settings import Choice, Count, Form, NonNegative, SettingsTable, Unit


def _plain_values(values: list[Any]) -> list[Any]:
    if not values:
        raise ValueError("should have at least one value")
    if any(isinstance(value, dict) for value in values):
        raise ValueError("should hold plain values; tables are compared as [[arms]]")
    return values


def _equally_long(group: dict[str, list[Any]]) -> dict[str, list[Any]]:
    if len({len(values) for values in group.values()}) > 1:
        lengths = ", ".join(f"{key} has {len(values)}" for key, values in group.items())
        raise ValueError(f"should hold lists of one length: {lengths}")
    return group


MAX_SEEDS = 100_000


def _seeds(value: object) -> tuple[int, ...]:
    """3 means 1, 2, 3; "4-6" means 4, 5, 6; a list holds seeds and such ranges."""
    if type(value) is int:
        if value < 1:
            raise ValueError("should be at least 1 seed")
        value = [range(1, value + 1)]
    ranges = [_range(item) for item in (value if isinstance(value, list) else [value])]
    if not ranges:
        raise ValueError("should have at least one seed")
    if sum(each[-1] - each[0] + 1 for each in ranges) > MAX_SEEDS:  # the length of a range may be beyond len()
        raise ValueError(f"should be at most {MAX_SEEDS:,} seeds")
    seeds = [seed for each in ranges for seed in each]
    if not all(0 <= seed < 2**63 for seed in seeds):
        raise ValueError("should hold no negative seeds")
    if len(set(seeds)) < len(seeds):
        raise ValueError("should name every seed once")
    return tuple(seeds)


def _range(value: object) -> Sequence[int]:
    """The seeds of "4-6", or one seed."""
    if isinstance(value, range):
        return value
    if type(value) is int:
        return (value,)
    match = re.fullmatch(r"\s*(\d{1,19})\s*-\s*(\d{1,19})\s*", value, re.ASCII) if isinstance(value, str) else None
    if match is None or int(match[1]) > int(match[2]):
        raise ValueError('should be a number of seeds (3 means 1, 2, 3), a range "4-6" or a list of seeds')
    return range(int(match[1]), int(match[2]) + 1)


Size = Annotated[int, PlainValidator(parse_size), Form("size", ("4 GiB", "500 MB", "off"))]
Axis = Annotated[list[Any], AfterValidator(_plain_values)]


class Axes(SettingsTable):
    """What varies: `grid` is a product, each group of `zip` moves together, `exclude` leaves runs out."""

    grid: dict[str, Axis] = Field(default_factory=dict)
    """Key -> list of values: all combinations."""
    zip: list[Annotated[dict[str, Axis], AfterValidator(_equally_long)]] = Field(default_factory=list)
    """Key -> list of values: lists of one length that vary together."""
    exclude: list[dict[str, Any]] = Field(default_factory=list)
    """Key -> value or list of values: runs that have them all are left out."""

    @field_validator("zip")
    @classmethod
    def _varies_once(cls, groups: list[dict[str, list[Any]]], info: ValidationInfo) -> list[dict[str, list[Any]]]:
        seen = set(info.data.get("grid", {}))
        for key in (key for group in groups for key in group):
            if key in seen:
                raise ValueError(f"should vary every key once, not {key} again")
            seen.add(key)
        return groups

    def axes(self) -> set[str]:
        """The dotted keys that vary."""
        return {*self.grid, *(key for group in self.zip for key in group)}


class Arm(Axes):
    """One of the methods compared: settings laid over those of all runs, and axes of its own."""

    model_config = ConfigDict(extra="allow")

    @property
    def settings(self) -> dict[str, Any]:
        """Nested settings, without the axes."""
        return self.model_extra or {}


def parse_cohort_size(value: object) -> CohortSize:
    """The value, if it is one; ValueError otherwise."""
    if value == "auto" or value == "off" or (type(value) is int and value >= 1):
        return value
    raise ValueError('should be "auto", "off" or a number of runs, at least 1')


class Output(SettingsTable):
    """Which checkpoints are made, and kept when a run is done; no part of a run's identity.

    One is due `checkpoint_every`, but none is made within `checkpoint_seconds` of the last: of tiny runs they would
    take most of the time.
    """

    save_weights: Literal["none", "last", "best", "both"] = "none"
    """Weights kept beside the record of a run that is done: those at the end, those best on validation."""
    checkpoint_every: PositiveDuration = Duration(1, "epochs")
    """From one checkpoint to the next."""
    checkpoint_seconds: Annotated[NonNegative, Unit("seconds")] = 10.0
    """None sooner than so many seconds after the last one, unless the command is stopped."""


class Launch(SettingsTable):
    """Defaults for the flags of the command, None where the command decides; no part of a run's identity."""

    workers: Count | None = None
    """`--workers`: runs at a time; one per core, or per GPU, unless given."""
    per_gpu: Count | None = None
    """`--per-gpu`: runs at a time on each GPU; 1 unless given."""
    retry: Annotated[int, Field(ge=0)] | None = None
    """`--retry`: further attempts of a run whose worker died or that lacked memory or a file; 1 unless given."""
    backend: Backend | None = None
    """`--backend`: how sparse layers compute; auto unless given."""
    cache_memory: Size | None = None
    """`--cache-memory`: what kept values of frozen networks may take; half of the free memory unless given."""
    cohort: (
        Annotated[CohortSize, PlainValidator(parse_cohort_size), Form("text or integer", ("auto", "off", ">= 1"))]
        | None
    ) = None
    """`--cohort`: how many runs to train as one where they allow it; auto unless given."""

    def overridden(self, flags: Mapping[str, object]) -> Self:
        """These defaults with the flags of a command, by name, that are not None; they are not validated."""
        return self.model_copy(update={name: value for name, value in flags.items() if value is not None})


GRID = Choice(name="grid")
"""The search of a recipe that names none: all its runs."""


class RecipeFile(Axes):
    """A recipe file after `extends` and the flags of the command line."""

    study: Literal["dst-sweep", "adapter-search"]
    """Which study the recipe belongs to."""
    description: str = ""
    """A line for lists of recipes."""
    seeds: Annotated[
        tuple[int, ...], PlainValidator(_seeds), Form("number, range or list", ("3", '"4-6"', "[1, 7]"))
    ] = (1,)
    """How many (3 means 1, 2, 3), or which. Every configuration is trained with each of them."""
    run: dict[str, Any] = Field(default_factory=dict)
    """Settings that all runs share, by their keys below."""
    arms: list[Arm] = Field(default_factory=list)
    """What is compared: settings over those of `run`, and axes of its own."""
    search: Annotated[Choice, PlainValidator(OneOf("search"))] = GRID
    """Which runs are trained, given the results of others; all there are unless given. See below."""
    output: Output = Output()
    """Which weights are kept; see below."""
    launch: Launch = Launch()
    """Defaults for the flags of the command; see below."""


def validate_recipe_file(table: Mapping[str, Any]) -> tuple[RecipeFile | None, list[ErrorDetails]]:
    """The recipe file of what is sound in `table`, and the errors of what is not; None without a study."""
    sound = copy.deepcopy(dict(table))
    errors: list[ErrorDetails] = []
    while True:
        try:
            return RecipeFile.model_validate(sound), errors
        except ValidationError as invalid:
            errors += invalid.errors()
            if any(error["loc"] == ("study",) for error in errors):
                return None, errors
            for error in invalid.errors():
                # A search without its name is none.
                _discard(sound, ("search",) if error["loc"][0] == "search" else error["loc"])


def _discard(table: Any, path: KeyPath) -> None:
    """Remove what lies at `path`, if it is still there; an element of a list leaves an empty table in its place."""
    *tables, last = path
    for part in tables:
        try:
            table = table[part]
        except (KeyError, IndexError):
            return
    if isinstance(table, list):
        table[int(last)] = {}
    else:
        table.pop(last, None)
