"""The command line, installed as `petlsparse._cli`: one file per command, no logic, nothing heavy imported."""

from .app import main

__all__ = ["main"]
