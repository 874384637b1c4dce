"""`python -m benchmarks`: run benchmarks by name, print their tables, write them down."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch, and for libraries that do not ask torch

from rich.console import Console

from benchmarks import BENCHMARKS, report
from benchmarks.harness import Effort
from petlsparse.registry import resolve


def main() -> None:
    """Parse the command line and run what it names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all, or some of {', '.join(BENCHMARKS)}")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder of the JSON files")
    parser.add_argument("--rounds", type=int, default=15, help="times that each contestant is measured")
    parser.add_argument("--quick", action="store_true", help="the smallest case of everything, to see that it runs")
    parser.add_argument("--peers", type=Path, help="folder that peers were installed into (pip install --target)")
    parser.add_argument("--markdown", action="store_true", help="measure nothing, print what is in --out as Markdown")
    arguments = parser.parse_args()
    names = [name for name in BENCHMARKS if not arguments.names or "all" in arguments.names or name in arguments.names]
    if unknown := set(arguments.names) - {*BENCHMARKS, "all"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    if arguments.markdown:
        print_markdown(arguments.out, names)
        return
    if arguments.peers:
        sys.path.append(str(arguments.peers))  # last: what the project installed itself comes first
    effort = Effort(rounds=2, quick=True) if arguments.quick else Effort(rounds=arguments.rounds)
    console = Console(width=None if sys.stdout.isatty() else 140)
    for name in names:
        conditions, comparisons = report.conditions(), []
        command = f"python -m benchmarks {shlex.join(sys.argv[1:])}"
        for comparison in resolve(BENCHMARKS, name, "benchmark")(effort):
            console.print(report.table(comparison), "")
            comparisons.append(comparison)
            path = report.write(
                arguments.out, name, command, conditions, comparisons
            )  # one cut short keeps what it has
        console.print(f"written to {path}\n")


def print_markdown(folder: Path, names: list[str]) -> None:
    """What `folder` holds of these benchmarks."""
    for name in names:
        path = folder / f"{name}.json"
        if path.is_file():
            conditions, comparisons = report.read(path)
            print(f"## {name}\n\n{report.conditions_as_text(conditions)}")
            for comparison in comparisons:
                print(report.markdown(comparison))


if __name__ == "__main__":
    main()
