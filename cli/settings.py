"""`petlsparse settings`."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from petlsparse.errors import UserError, unknown_name

from . import _console
from ._complete import study_names
from ._options import Json

if TYPE_CHECKING:
    from petlsparse.recipe.reference import SettingEntry


def settings(
    study: Annotated[
        str | None,
        typer.Argument(metavar="STUDY", help="Only what recipes of this study may say.", autocompletion=study_names),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="As the page docs/settings.md, of all studies.")] = False,
    json: Json = False,
) -> None:
    """List everything that a recipe may say: keys, types, defaults, units, valid values.

    Examples:
        petlsparse settings dst-sweep
        petlsparse settings --json
    """
    from dataclasses import asdict

    from petlsparse.recipe import reference
    from petlsparse.studies import STUDIES

    if study is not None and study not in STUDIES:
        raise UserError(unknown_name("study", study, STUDIES))
    if markdown:
        _console.write(reference.markdown())
        return
    entries = reference.reference(study)
    if json:
        _console.print_json([asdict(entry) for entry in entries])
        return
    for section, found in reference.sections(entries).items():
        _console.out.print(Text(section, style="bold"))
        _console.out.print(_listed(found, alone=study is not None))


def _listed(entries: "list[SettingEntry]", *, alone: bool) -> Table:
    """The key of each setting beside what is to be known about it; `alone`: all of one study."""
    from petlsparse.recipe.reference import REQUIRED, applies_to

    table = Table.grid(padding=(0, 2, 1, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for entry in entries:
        of = "" if alone and not entry.kinds else applies_to(entry)
        default = entry.default if entry.default in ("", REQUIRED) else f"default {entry.default}"
        details = [of and f"of {of}", entry.type, entry.unit, default, ", ".join(entry.valid)]
        said = Text("; ".join(filter(None, details)), style="dim")
        table.add_row(Text(f"  {entry.key}"), Text.assemble(entry.meaning, "\n", said))
    return table
