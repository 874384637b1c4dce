"""What the fields of a run are made of: strict numbers, tuples from lists, names of a vocabulary."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from petlsparse.recipe.durations import Duration, positive

Names: TypeAlias = Mapping[str, Collection[str]]
"""The valid names by vocabulary ("datasets", "criteria"); one that ends in ":" admits all names it begins."""


class Table(BaseModel):
    """Base of every table: frozen, no unknown keys, no conversions ("1e-3" is no number, true no 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class HashNeutral:
    """Marks a field that was added after runs had been stored.

    The field is left out of a run's identity while it has `value`, the one that reproduces the behaviour from
    before the field existed. `value` is in JSON form and never changes, whatever becomes of the default.
    (`data.image_fit` and `data.background` are neutral in what they do now: there the data's fingerprint tells
    results of before apart.)
    """

    value: Any


@dataclass(frozen=True)
class Name:
    """Marks a string as a name of `vocabulary` (see `Names`); without that vocabulary any name will do."""

    vocabulary: str

    def __call__(self, name: str, info: ValidationInfo) -> str:
        """Validate `name` against the vocabularies in the validation context."""
        names: Names = info.context or {}
        if self.vocabulary not in names or any(
            name.startswith(valid) if valid.endswith(":") else name == valid for valid in names[self.vocabulary]
        ):
            return name
        raise PydanticCustomError("unknown_name", "unknown name", {"valid": tuple(names[self.vocabulary])})


@dataclass(frozen=True)
class Unit:
    """Says in the settings reference what a number counts or measures."""

    name: str


@dataclass(frozen=True)
class Form:
    """Says in the settings reference how a value is written, where its type does not tell."""

    name: str
    examples: tuple[str, ...]


def colour(text: str) -> str:
    """The colour in its one spelling: "white", "black" or "#rrggbb" in lower case; ValueError for anything else."""
    plain = text.lower()
    if plain not in ("white", "black") and not re.fullmatch("#[0-9a-f]{6}", plain):
        raise ValueError('should be "white", "black" or "#rrggbb"')
    return {"#ffffff": "white", "#000000": "black"}.get(plain, plain)


# `abs` makes -0.0 and 0.0 the same number, and so the same run.
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0), AfterValidator(abs)]
Share = Annotated[float, Field(gt=0, le=1), Unit("fraction")]  # of a whole: none of it makes no sense
Fraction = Annotated[float, Field(ge=0, le=1), AfterValidator(abs), Unit("fraction")]
Part = Annotated[float, Field(gt=0, lt=1), Unit("fraction")]  # of a whole: neither none nor all of it
BelowOne = Annotated[float, Field(ge=0, lt=1), AfterValidator(abs)]
Count = Annotated[int, Field(ge=1, lt=2**63)]  # what a column of the result tables can hold
Colour = Annotated[str, AfterValidator(colour), Form("text", ("white", "black", '"#rrggbb"'))]
Pixels = Annotated[int, Field(ge=1, lt=2**63), Unit("pixels")]
Steps = Annotated[int, Field(ge=1, lt=2**63), Unit("optimizer steps")]
Index = Annotated[int, Field(ge=0, lt=2**63)]

PositiveDuration = Annotated[Duration, AfterValidator(positive)]

# TOML has lists only: a strict tuple would refuse them. What is inside stays strict.
Counts = Annotated[tuple[Count, ...], Field(strict=False, min_length=1)]
Shares = Annotated[tuple[Share, ...], Field(strict=False, min_length=1)]
Pair = Annotated[tuple[Index, Index], Field(strict=False)]
Pairs = Annotated[tuple[Pair, ...], Field(strict=False)]
