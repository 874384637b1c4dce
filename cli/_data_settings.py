"""Flags for the settings of a recipe's data, for a command that looks at data without a recipe."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import typer
from typer.core import TyperOption

from petlsparse.errors import UserError

from ._help import Command

ImageSize = Annotated[int | None, typer.Option("--image-size", metavar="PIXELS")]
ImageFit = Annotated[str | None, typer.Option("--image-fit", metavar="resize|crop")]
Background = Annotated[str | None, typer.Option("--background", metavar="white|black|#rrggbb")]
ValFraction = Annotated[float | None, typer.Option("--val-fraction", metavar="FRACTION")]
TestFraction = Annotated[float | None, typer.Option("--test-fraction", metavar="FRACTION")]

ImageColumn = Annotated[str | None, typer.Option("--image-column", metavar="COLUMN")]
LabelColumn = Annotated[str | None, typer.Option("--label-column", metavar="COLUMN")]


class DataCommand(Command):
    """A command with such flags; what they mean is said by the settings reference."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page into the formatter."""
        from petlsparse.recipe.reference import reference

        entries = {flag(entry.key): entry for entry in reference() if entry.section == "data"}
        for param in self.params:
            entry = entries.get(param.opts[0])
            if entry is not None and isinstance(param, TyperOption):
                default = entry.default.strip('"')
                param.help = entry.meaning + (f" [default: {default}]" if default else "")
        super().format_help(ctx, formatter)


def flag(key: str) -> str:
    """The flag of a setting: `--image-fit` of `data.image_fit`."""
    return f"--{key.rpartition('.')[2].replace('_', '-')}"


def settings(name: str, **given: Any) -> dict[str, Any]:
    """Arguments of `load_data` for a recipe whose data have these settings; None is not given.

    Raises UserError for values that no recipe may have, naming the flag.
    """
    from pydantic import ValidationError

    from petlsparse.recipe.problems import explain
    from petlsparse.recipe.schema import Data

    said = {key: value for key, value in given.items() if value is not None}
    try:
        return Data.model_validate({"name": name, **said}).model_dump(exclude={"augment"})
    except ValidationError as error:
        raise UserError(*(explain(each, flag(str(each["loc"][0]))) for each in error.errors())) from None


@contextmanager
def naming_flags() -> Iterator[None]:
    """Problems with a setting of `data` name its flag."""
    try:
        yield
    except UserError as error:
        problems = (
            replace(problem, where=flag(problem.where)) if problem.where.startswith("data.") else problem
            for problem in error.problems
        )
        raise UserError(*problems) from None
