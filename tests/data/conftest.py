from pathlib import Path

import pytest


@pytest.fixture
def data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data root, the only one there is; caches go beside it."""
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.setenv("PETLSPARSE_DATA", str(root))
    monkeypatch.setenv("PETLSPARSE_CACHE", str(tmp_path / "cache" / "petlsparse"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("petlsparse.data.files.roots.SYSTEM", tmp_path / "system")
    return root
