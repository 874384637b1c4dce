"""The application: its commands, `--version`, and the one place where a user's mistake becomes a message."""

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from petlsparse.errors import Problem, UserError
from petlsparse.launch.interruption import Interrupted, ended_by_signals

from ._console import report, warn, write
from ._help import Command, Commands
from ._streams import GONE, steady_streams
from .adapter_search import adapter_search
from .compare import compare
from .data import app as data
from .demo import demo
from .doctor import doctor
from .dst_sweep import dst_sweep
from .leaderboard import leaderboard
from .plan import plan
from .recipes import app as recipes
from .run import run
from .score import score
from .settings import settings
from .show import show
from .status import status
from .weights import app as weights

STUDIES = "Studies"
RESULTS = "Results"
ABOUT = "What there is"

app = typer.Typer(
    name="petlsparse",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        write(f"petlsparse {version('petlsparse')}\n")
        raise typer.Exit


@app.callback()
def _app(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Where should a network's few trainable weights sit?

    Runs, resumes and compares studies of adapter placement and dynamic sparse training.
    Start with `petlsparse demo`.

    Examples:
        petlsparse demo
        petlsparse recipes ls
        petlsparse plan dst-smoke
    """
    try:
        Path.cwd()
    except FileNotFoundError:  # torch would die of it
        raise UserError("the working directory does not exist any more") from None


app.command("demo", cls=Command, rich_help_panel=STUDIES)(demo)
app.command("run", cls=Command, rich_help_panel=STUDIES)(run)
app.command("adapter-search", cls=Command, rich_help_panel=STUDIES)(adapter_search)
app.command("dst-sweep", cls=Command, rich_help_panel=STUDIES)(dst_sweep)
app.command("score", cls=Command, rich_help_panel=STUDIES)(score)
app.command("plan", cls=Command, rich_help_panel=STUDIES)(plan)
app.command("status", cls=Command, rich_help_panel=RESULTS)(status)
app.command("compare", cls=Command, rich_help_panel=RESULTS)(compare)
app.command("leaderboard", cls=Command, rich_help_panel=RESULTS)(leaderboard)
app.command("show", cls=Command, rich_help_panel=RESULTS)(show)
app.add_typer(recipes, name="recipes", rich_help_panel=ABOUT)
app.add_typer(data, name="data", rich_help_panel=ABOUT)
app.add_typer(weights, name="weights", rich_help_panel=ABOUT)
app.command("settings", cls=Command, rich_help_panel=ABOUT)(settings)
app.command("doctor", cls=Command, rich_help_panel=ABOUT)(doctor)


def main() -> None:
    """SettingEntry point.

    Exit codes: 0 all done, 1 some run failed, 2 the user's mistake or nowhere to write results to, 128 + the number of
    the signal that ended the command.
    """
    if not sys.warnoptions:  # a user wants to hear what was mended, not what libraries deprecate
        warnings.simplefilter("ignore")
        warnings.filterwarnings("default", module="petlsparse")  # each once
        warnings.showwarning = lambda message, *_, **__: warn(str(message))
    with steady_streams() as (out, _):
        code = _answer()
        out.flush()
        if out.error is not None and out.error.errno not in GONE:
            report(UserError(Problem(out.error.strerror or str(out.error), where="standard output")))
            code = code or 2
    sys.exit(code)


def _answer() -> int:
    """Do what the command line asks for. Returns the exit code."""
    try:
        with ended_by_signals():
            app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except Interrupted as end:
        return 128 + end.number
    except UserError as error:
        report(error)
    except OSError as error:
        if error.errno is None:
            raise
        report(UserError(Problem(error.strerror or str(error), where=str(error.filename or ""))))
    return 2
