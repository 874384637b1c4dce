"""Home folders, which not every account has."""

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
