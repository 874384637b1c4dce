"""Help pages: usage, what a command does, its arguments, options, commands and examples; words are never broken."""

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperArgument, TyperCommand, TyperGroup

from ._console import out

EXAMPLES = "Examples:"
INDENT = 2


class Command(TyperCommand):
    """A command whose docstring ends in examples."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page into the formatter."""
        formatter.write(_written(page(self, ctx), out))


class Commands(TyperGroup):
    """A group of commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page into the formatter."""
        formatter.write(_written(page(self, ctx), out))


def page(command: TyperCommand | TyperGroup, ctx: Any) -> RenderableType:
    """The help of a command, for a terminal of any width."""
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    said = [" ".join(text.split()) for text in paragraphs if not text.startswith(EXAMPLES)]
    examples = [text.splitlines()[1:] for text in paragraphs if text.startswith(EXAMPLES)]
    blocks: list[RenderableType] = [Text(_usage(command, ctx), style="bold")]
    blocks += [Text(text) for text in said]
    blocks += [_section(title, rows) for title, rows in _sections(command, ctx)]
    blocks += [_verbatim(lines) for lines in examples]
    return Group(*(Padding(block, (0, 0, 1, 0)) for block in blocks))


def _usage(command: TyperCommand | TyperGroup, ctx: Any) -> str:
    names = [(_name(param), param.required) for param in command.get_params(ctx) if isinstance(param, TyperArgument)]
    arguments = [name if required else f"[{name}]" for name, required in names]
    if isinstance(command, TyperGroup):
        arguments.append("COMMAND ...")
    return " ".join(["Usage:", ctx.command_path, "[OPTIONS]", *arguments])


def _sections(command: TyperCommand | TyperGroup, ctx: Any) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Title and rows of each group of parameters and commands, in order of first appearance."""
    sections: dict[str, list[tuple[str, str]]] = {}
    for param in command.get_params(ctx):
        is_argument = isinstance(param, TyperArgument)
        title = getattr(param, "rich_help_panel", None) or ("Arguments" if is_argument else "Options")
        sections.setdefault(title, []).append((_name(param), _meaning(param)))
    if isinstance(command, TyperGroup):
        for name in command.list_commands(ctx):
            each: Any = command.get_command(ctx, name)
            meaning = " ".join(inspect.cleandoc(each.help or "").split("\n\n")[0].split())
            sections.setdefault(each.rich_help_panel or "Commands", []).append((name, meaning))
    # What every command has comes last.
    yield from sorted(sections.items(), key=lambda section: section[0] == "Options")


def _name(param: Any) -> str:
    """`RECIPE`, `--json`, or `--seeds 5|1,2,3`: what to write on the command line."""
    if isinstance(param, TyperArgument):
        return param.metavar or param.name.upper()
    names = ", ".join(sorted(param.opts, key=len))
    return names if param.is_flag else f"{names} {param.metavar or param.name.upper()}"


def _meaning(param: Any) -> str:
    default = None if getattr(param, "is_flag", False) else param.default
    return param.help or "" if default is None else f"{param.help} [default: {default}]"


def _section(title: str, rows: Iterable[tuple[str, str]]) -> RenderableType:
    table = Table.grid(padding=(0, INDENT))
    table.add_column(no_wrap=True, style="cyan")
    table.add_column()
    for name, meaning in rows:
        table.add_row(Text(name), Text(meaning))
    return Group(Text(title, style="bold"), Padding(table, (0, 0, 0, INDENT)))


def _verbatim(lines: Iterable[str]) -> RenderableType:
    return Group(Text("Examples", style="bold"), *(Text(line.replace("    ", INDENT * " ", 1)) for line in lines))


def _written(content: RenderableType, console: Console) -> str:
    with console.capture() as capture:
        console.print(content)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()).rstrip() + "\n"
