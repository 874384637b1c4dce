"""`--cache-memory`: read like every other flag, and obeyed."""

from __future__ import annotations

from pathlib import Path

import pytest

from petlsparse.analysis.load import load_runs

from .conftest import Cli
from .test_user_errors import assert_told

PROBE = """\
study = "adapter-search"
[run]
data = { name = "digits", train_examples = 40 }
optimizer = { name = "adamw", lr = 1e-3 }
training = { batch_size = 20, duration = "1 epoch" }
method = { kind = "linear-probe" }
"""


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "probe.toml"
    path.write_text(PROBE)
    return path


def test_a_mistaken_size_is_told_before_anything_is_done(cli: Cli, probe: Path) -> None:
    assert_told(cli("adapter-search", probe, "--cache-memory", "4 gigs"), "--cache-memory", "4 gigs", '"4 GiB"')
    assert not (probe.parent / "results").exists()


def test_the_flag_rules_over_the_recipe_and_nothing_is_left(cli: Cli, probe: Path) -> None:
    probe.write_text(PROBE + '[launch]\ncache_memory = "1 GiB"\n')
    assert cli("adapter-search", probe, "--out", "out", "--workers", 1, "--cache-memory", "off").code == 0
    (run,) = load_runs(["out"])
    assert run["frozen_values"] == "none: --cache-memory is off"
    assert not (probe.parent / "out" / "cache").exists()
