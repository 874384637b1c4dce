import re
from pathlib import Path

import pytest

from petlsparse.tracking.tables import TABLES, Table, markdown

README = (Path(__file__).parents[2] / "results" / "README.md").read_text()


def test_results_readme_shows_every_table_as_it_is() -> None:
    assert re.findall(r"^## (\w+)\.parquet$", README, re.MULTILINE) == list(TABLES)
    for table in TABLES.values():
        assert markdown(table) in README, f"paste the output of tables.markdown for {table.name}"


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.name)
def test_every_column_is_named_once_explained_and_identified(table: Table) -> None:
    names = [column.name for column in table.columns]
    assert len(set(names)) == len(names)
    assert names[0] == "run_id"
    assert names[-1] == "schema_version"
    assert all(column.meaning and "|" not in column.meaning + column.unit for column in table.columns)


def test_times_memory_and_machine_are_incidental_and_results_are_not() -> None:
    incidental = TABLES["runs"].incidental
    assert {"wall_seconds", "peak_memory_bytes", "started", "finished", "host", "attempts"} <= incidental
    assert not {"test_accuracy", "status", "steps", "training_flops", "data_fingerprint"} & incidental
    assert not TABLES["metrics"].incidental | TABLES["topology"].incidental | TABLES["edges"].incidental
