"""The command line, installed as `petlsparse._cli`: one file per command, nothing heavy imported."""

from .app import main

__all__ = ["main"]
