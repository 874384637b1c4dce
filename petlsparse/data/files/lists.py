"""Lists of image files with labels: a line for each, `relative/path label`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from petlsparse.data.files.shown import shown
from petlsparse.data.files.tree import Part
from petlsparse.errors import Problem, UserError


def read_list(file: Path, folder: Path, classes: int) -> Part:
    """The part that a list describes, in its order. Whether images are there is seen when they are read.

    Raises UserError for a list that is missing or empty, and for lines that are not a path and a label in
    0..classes-1.
    """
    try:
        lines = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError as error:
        raise UserError(Problem(f"cannot be read: {error.strerror}", where=shown(file), absent=True)) from error
    files, labels = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        path, _, label = line.strip().rpartition(" ")
        if not path or not label.isdecimal() or int(label) >= classes:
            message = f"should be a path and a label in 0..{classes - 1}"
            raise UserError(Problem(message, where=f"{shown(file)}, line {number}", value=shown(line)))
        files.append(path.strip().lstrip("/"))
        labels.append(int(label))
    if not files:
        raise UserError(Problem("names no images", where=shown(file)))
    return Part(Below(folder, files), tuple(labels))


class Below(Sequence[Path]):
    """Files by their names below a folder. There may be millions: a path takes several times as much memory."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder, names

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: Any) -> Any:
        return self._folder / self._names[index]
