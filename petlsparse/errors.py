"""What a user did wrong, told in full: what, where, the value, the nearest valid name, the valid names."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One mistake. `where` is a file and key path, or a flag; `value` is shown as it stands here."""

    message: str
    where: str = ""
    value: str | None = None
    nearest: str | None = None
    valid: tuple[str, ...] = ()
    absent: bool = False
    """Whether something is not on this machine, rather than wrong in what the user wrote."""

    def __str__(self) -> str:
        """One readable block: a headline, then what would have been accepted."""
        lines = [f"{self.where}: {self.message}" if self.where else self.message]
        if self.value is not None:
            lines.append(f"  value: {self.value}")
        if self.nearest is not None:
            lines.append(f"  did you mean {self.nearest}?")
        if self.valid:
            lines.append(f"  valid: {', '.join(self.valid)}")
        return "\n".join(lines)


class UserError(Exception):
    """Everything that is wrong with what the user asked for; shown without a traceback, exit code 2."""

    def __init__(self, *problems: Problem | str):
        self.problems = tuple(Problem(p) if isinstance(p, str) else p for p in problems)
        super().__init__(*self.problems)  # as `args`, so that the error survives the way out of a worker process

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def nearest_name(name: str, valid: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The valid name closest to `name`, if any is close; case and `_` for `-` count for nothing.

    `cutoff`, in 0..1, is the least similarity that is close.
    """
    plain = {_plain(candidate): candidate for candidate in valid}
    close = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=cutoff)
    return plain[close[0]] if close else None


def unknown_name(kind: str, name: str, valid: Iterable[str], where: str = "") -> Problem:
    """The problem of a `name` that is none of the `valid` names of its `kind` ("network", "criterion")."""
    valid = tuple(valid)
    return Problem(f'unknown {kind} "{name}"', where, nearest=nearest_name(name, valid), valid=valid)


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
