"""Home folders, which not every account has, and the user's cache."""

import os
import tempfile
from pathlib import Path


def expanded(path: Path | str) -> Path:
    """The path with `~` and `~user` replaced; as it stands where there is no such home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def home() -> Path:
    """The user's home folder; a folder for temporary files of this user's where there is none."""
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and no entry in the list of users: common in containers
        return Path(tempfile.gettempdir()) / f"home-of-{os.getuid()}"


def cache_home() -> Path:
    """The folder of all that this package keeps beyond a command: `PETLSPARSE_CACHE`, or the user's for such things."""
    if chosen := os.environ.get("PETLSPARSE_CACHE"):
        return expanded(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache") / "petlsparse"
