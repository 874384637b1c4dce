"""What the tables of a recipe are made of: names out of registries, functions with their settings, durations."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from petlsparse.adapters import PLACEMENTS
from petlsparse.data import AUGMENTATIONS
from petlsparse.data import NAMES as DATA_NAMES
from petlsparse.errors import Problem, UserError
from petlsparse.metrics import METRICS
from petlsparse.networks import NETWORKS
from petlsparse.recipe.durations import Duration, positive
from petlsparse.registry import is_file, resolve
from petlsparse.scores import SCORES
from petlsparse.searches import SEARCHES
from petlsparse.settings import Choice, Form, common_type, plain_type, settings_of
from petlsparse.sparsity import CRITERIA, DISTRIBUTIONS, DROP_SCHEDULES, GROWTHS

NAMES: Mapping[str, Collection[str]] = MappingProxyType(
    {
        "data set": DATA_NAMES,
        "augmentation": AUGMENTATIONS,
        "distribution": DISTRIBUTIONS,
        "drop schedule": DROP_SCHEDULES,
        "metric": METRICS,
    }
)
"""What there is of each kind; one that ends in ":" admits all names it begins."""

FUNCTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "network": NETWORKS,
        "criterion": CRITERIA,
        "growth rule": GROWTHS,
        "placement": PLACEMENTS,
        "score": SCORES,
        "search": SEARCHES,
    }
)
"""The registries of functions that have settings of their own, by what they hold."""

GIVEN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "network": ("input_shape", "classes"),
        "criterion": ("active",),
        "growth rule": ("weights",),
        "placement": ("nodes",),
        "score": ("nodes", "source"),
        "search": ("recipe",),
    }
)
"""What these functions are called with besides their settings, by position, where they do not say it themselves."""


@dataclass(frozen=True)
class Name:
    """Marks a string as one of `NAMES[kind]`; that of a data set may also be "FILE.py:FUNCTION", as in `OneOf`."""

    kind: str

    def __call__(self, name: str) -> str:
        """The name, if there is such a thing."""
        valid = NAMES[self.kind]
        if self.kind == "data set" and is_file(name):
            try:
                settings_of(resolve({}, name, self.kind), name)
            except UserError as error:
                raise _as_told(error) from error
            return name
        if any(name.startswith(each) if each.endswith(":") else name == each for each in valid):
            return name
        raise _unknown(valid)


@dataclass(frozen=True)
class OneOf:
    """Marks a table that names one of `FUNCTIONS[kind]`, and holds its settings; a string is a name alone.

    A name may also be "FILE.py:FUNCTION", of a file of the user's, relative to the working directory. Its settings
    share columns with those that are called alike, and so their type.
    """

    kind: str

    def model(self, name: str) -> type[Choice]:
        """The settings of a function, by its name, or a ValidationError."""
        registry = FUNCTIONS[self.kind]
        if name not in registry and not is_file(name):
            raise _at_name(_unknown(registry), name)
        try:
            found = resolve(registry, name, self.kind)
            given = getattr(found, "given", GIVEN[self.kind])
            model = settings_of(getattr(found, "function", found), name, given, getattr(found, "about", ""))
            if is_file(name):
                _check_types(model, self.kind)
            return model
        except UserError as error:
            raise _at_name(_as_told(error), name) from error

    def __call__(self, value: Any) -> Choice:
        """The choice that a name, or a table with a name and settings, stands for."""
        if isinstance(value, Choice):
            return value
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping):
            raise PydanticCustomError("name_or_table", "should be a name or a table")
        name = value.get("name")
        # A table without a valid name is given to a model that says what is wrong with that.
        return (self.model(name) if isinstance(name, str) else Choice).model_validate(dict(value))


@cache
def _types(kind: str) -> Mapping[str, type]:
    """The types of all settings that functions of the package have, by name."""
    types: dict[str, type] = {}
    for model in map(OneOf(kind).model, FUNCTIONS[kind]):
        for key, field in model.model_fields.items():
            own = plain_type(field.annotation)
            types[key] = common_type(types.get(key, own), own)
    return types


def _check_types(model: type[Choice], kind: str) -> None:
    types = _types(kind)
    for key, field in model.model_fields.items():
        if key in types and common_type(types[key], plain_type(field.annotation)) is not types[key]:
            message = "has another type than what petlsparse calls so, and they share a column: give it another name"
            raise UserError(Problem(f'the setting "{key}" of "{model.__name__}" {message}'))


def _as_told(error: UserError) -> PydanticCustomError:
    problem = error.problems[0]
    context = {"error": problem.message, "nearest": problem.nearest, "valid": problem.valid}
    return PydanticCustomError("file", "{error}", context)


def _unknown(valid: Collection[str]) -> PydanticCustomError:
    return PydanticCustomError("unknown_name", "unknown name", {"valid": tuple(valid)})


def _at_name(error: PydanticCustomError, name: str) -> ValidationError:
    return ValidationError.from_exception_data("choice", [InitErrorDetails(type=error, loc=("name",), input=name)])


def colour(text: str) -> str:
    """The colour in its one spelling: "white", "black" or "#rrggbb" in lower case; ValueError for anything else."""
    plain = text.lower()
    if plain not in ("white", "black") and not re.fullmatch("#[0-9a-f]{6}", plain):
        raise ValueError('should be "white", "black" or "#rrggbb"')
    return {"#ffffff": "white", "#000000": "black"}.get(plain, plain)


Colour = Annotated[str, AfterValidator(colour), Form("text", ("white", "black", '"#rrggbb"'))]
PositiveDuration = Annotated[Duration, AfterValidator(positive)]
