"""What may be set: strict types of values, frozen tables of them, and the settings of a function.

The settings of a registered function are its keyword-only arguments: their annotations say what is valid, their
defaults stand there and nowhere else, and its docstring says what they mean.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from keyword import iskeyword
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PydanticUserError, TypeAdapter, create_model

from petlsparse.errors import Problem, UserError


class SettingsTable(BaseModel):
    """Base of every table: frozen, no unknown keys, no conversions ("1e-3" is no number, true no 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class HashNeutral:
    """Marks a setting that was added after runs had been stored.

    It is left out of a run's identity while it has `value`, the one that reproduces the behaviour from before it
    existed. `value` is in JSON form and never changes, whatever becomes of the default.
    """

    value: Any


@dataclass(frozen=True)
class Unit:
    """Says in the settings reference what a number counts or measures."""

    name: str


@dataclass(frozen=True)
class Form:
    """Says in the settings reference how a value is written, where its type does not tell."""

    name: str
    examples: tuple[str, ...]


# `abs` makes -0.0 and 0.0 the same number, and so the same run.
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0), AfterValidator(abs)]
PositiveFraction = Annotated[float, Field(gt=0, le=1), Unit("fraction")]  # of a whole: none of it makes no sense
Fraction = Annotated[float, Field(ge=0, le=1), AfterValidator(abs), Unit("fraction")]
ProperFraction = Annotated[float, Field(gt=0, lt=1), Unit("fraction")]  # of a whole: neither none nor all of it
FractionBelowOne = Annotated[float, Field(ge=0, lt=1), AfterValidator(abs)]
Count = Annotated[int, Field(ge=1, lt=2**63)]  # what a column of the result tables can hold
Pixels = Annotated[int, Field(ge=1, lt=2**63), Unit("pixels")]
Steps = Annotated[int, Field(ge=1, lt=2**63), Unit("optimizer steps")]
Index = Annotated[int, Field(ge=0, lt=2**63)]

# TOML has lists only: a strict tuple would refuse them. What is inside stays strict.
Counts = Annotated[tuple[Count, ...], Field(strict=False, min_length=1)]
Fractions = Annotated[tuple[Fraction, ...], Field(strict=False, min_length=1)]
PositiveFractions = Annotated[tuple[PositiveFraction, ...], Field(strict=False, min_length=1)]
Pair = Annotated[tuple[Index, Index], Field(strict=False)]
EdgeRank = Annotated[tuple[Index, Index, Count], Field(strict=False)]
LayerRank = Annotated[tuple[str, Count], Field(strict=False)]
Pairs = Annotated[tuple[Pair, ...], Field(strict=False)]


def plain_type(annotation: Any) -> type:
    """The type of the column of a setting of this type: bool, int, float, list, or str for all else."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return plain_type(arguments[0])
    if origin is Literal:
        return reduce(common_type, map(type, arguments))
    if origin in (Union, UnionType):
        return reduce(common_type, (plain_type(each) for each in arguments if each is not type(None)))
    if origin in (tuple, list):
        return list
    return annotation if annotation in (bool, int, float) else str


def common_type(one: type, other: type) -> type:
    """The type of a column that holds values of two types."""
    return one if one is other else float if {one, other} == {int, float} else str


class Choice(SettingsTable):
    """A registered function by name, with its settings: the base of the models that `settings_of` makes."""

    name: str

    def arguments(self) -> dict[str, Any]:
        """The settings as the function's keyword arguments."""
        fields = (name for name in type(self).model_fields if name != "name")
        return {_parameter(name): getattr(self, name) for name in fields}


@cache
def settings_of(
    function: Callable[..., object] | None, name: str, given: tuple[str, ...] = (), about: str = ""
) -> type[Choice]:
    """The model of a function that is registered under `name`: that name, and its keyword-only arguments.

    An argument that is called like a word of Python has an underscore after it, which its setting has not: `lambda_`.

    Args:
        function: None where there is nothing to set.
        name: as recipes write it.
        given: what it is called with besides its settings, by position; other names will do.
        about: what it is for, where it does not say so itself.

    Raises:
        UserError: it has other positional arguments, one that is called `name`, or a type that no recipe can write.
    """
    fields: dict[str, Any] = {"name": (Literal[name], name)}
    keywords = _keywords(function, name, given) if function else {}
    if "name" in keywords:
        raise UserError(Problem(f'"{name}" has an argument "name", which no setting can be called'))
    meanings = _meanings((inspect.getdoc(function) or "") if function else "")
    try:
        hints = _hints(function, keywords)
        for hint in hints.values():
            TypeAdapter(hint)
    except (NameError, TypeError, PydanticUserError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(Problem(f'"{name}" has an argument of a type that no recipe can write: {reason}')) from error
    for key, hint in hints.items():
        default = keywords[key].default
        field = Field(
            default=... if default is inspect.Parameter.empty else default,
            description=meanings.get(key, ""),
            validate_default=True,
        )
        fields[_setting(key)] = (hint, field)
    said = (inspect.getdoc(function) or "") if function else ""
    return create_model(name, __base__=Choice, __doc__=said.partition("\n")[0] or about, **fields)


def _keywords(function: Callable[..., object], name: str, given: Sequence[str]) -> dict[str, inspect.Parameter]:
    """The keyword-only arguments of a function that can be called with what is given by position, and nothing else."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:  # of a builtin
        raise UserError(Problem(f'"{name}" does not say what it takes')) from error
    kinds = [each.kind for each in signature.parameters.values()]
    positional = kinds.count(inspect.Parameter.POSITIONAL_ONLY) + kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if positional != len(given) and (inspect.Parameter.VAR_POSITIONAL not in kinds or positional > len(given)):
        bare = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
        expected = ", ".join((*given, "*", "..."))
        takes = f'"{name}" takes {inspect.Signature(bare)}'
        raise UserError(Problem(f"{takes}; it should take ({expected}), settings keyword-only (after *)"))
    return {key: each for key, each in signature.parameters.items() if each.kind is each.KEYWORD_ONLY}


def _hints(function: Callable[..., object] | None, keywords: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """The types of keyword arguments, of those without an annotation the type of the default.

    Annotations of other arguments are not looked at: they may name what is imported for type checkers only.
    """
    written = {
        key: type(each.default) if each.annotation is each.empty and each.default is not each.empty else each.annotation
        for key, each in keywords.items()
    }
    holder = type("Settings", (), {"__annotations__": written})
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    return get_type_hints(holder, vars(module) if module else {}, include_extras=True) if written else {}


def _meanings(docstring: str) -> Mapping[str, str]:
    """Argument -> what the section `Args:` of a docstring says of it, as a sentence of one line."""
    _, _, arguments = docstring.partition("Args:\n")
    if not arguments:
        return MappingProxyType({})
    section = arguments.partition("\n\n")[0]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {6,}.*)*)", section, re.MULTILINE)
    texts = {name: " ".join(text.split()) for name, text in found}
    return {name: text[:1].upper() + text[1:].rstrip(".") + "." for name, text in texts.items()}


def _setting(parameter: str) -> str:
    return parameter.removesuffix("_") if iskeyword(parameter.removesuffix("_")) else parameter


def _parameter(setting: str) -> str:
    return f"{setting}_" if iskeyword(setting) else setting
