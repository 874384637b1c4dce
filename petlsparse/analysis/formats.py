"""Comparisons as text for files and pipes: Markdown, LaTeX, CSV, JSON."""

import csv
import io
import json
from collections.abc import Callable, Sequence

from petlsparse.analysis.comparison import Comparison
from petlsparse.analysis.table import records_of, text_columns

_LATEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "→": r"$\to$",
        "†": r"$^\dagger$",
        "–": "--",
    }
)


def markdown(comparisons: Sequence[Comparison]) -> str:
    """A table and its notes for each comparison, in GitHub's dialect."""
    blocks = []
    for comparison in comparisons:
        columns = text_columns(comparison)
        lines = [
            f"### {comparison.title}",
            "",
            _pipes([column.header for column in columns]),
            _pipes(["---:" if column.numeric else "---" for column in columns]),
            *(_pipes(cells) for cells in zip(*(column.cells for column in columns), strict=True)),
            "",
            " ".join(comparison.notes),
        ]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _pipes(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def latex(comparisons: Sequence[Comparison]) -> str:
    """A `table` environment for each comparison, the notes as its caption; needs the package booktabs."""
    return "\n".join(_latex_table(comparison) for comparison in comparisons)


def _latex_table(comparison: Comparison) -> str:
    columns = text_columns(comparison)
    rows = zip(*(column.cells for column in columns), strict=True)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{comparison.title}. {' '.join(comparison.notes).translate(_LATEX)}}}",
        rf"\begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in columns)}}}",
        r"\toprule",
        _ampersands([column.header for column in columns]),
        r"\midrule",
        *(_ampersands(cells) for cells in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _ampersands(cells: Sequence[str]) -> str:
    return " & ".join(cell.translate(_LATEX) for cell in cells) + r" \\"


def csv_text(comparisons: Sequence[Comparison]) -> str:
    """One line per row of every comparison; columns that a study does not have stay empty."""
    records = [record for comparison in comparisons for record in records_of(comparison)]
    for record in records:
        record |= {name: " ".join(record[name] or ()) for name in ("stale", "run_ids")}
    names = list(dict.fromkeys(name for record in records for name in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def json_text(comparisons: Sequence[Comparison]) -> str:
    """A list with one object per row of every comparison."""
    records = [record for comparison in comparisons for record in records_of(comparison)]
    return json.dumps(records, indent=2, ensure_ascii=False) + "\n"


FORMATS: dict[str, Callable[[Sequence[Comparison]], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": csv_text,
    "json": json_text,
}
