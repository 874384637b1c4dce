"""Amounts of memory as people write them: "4 GiB", "500 MB", "off"."""

import re
from decimal import Decimal

from petlsparse.errors import Problem, UserError

_UNITS = {
    "b": 1,
    **{f"{prefix}b": 1000**power for power, prefix in enumerate("kmgt", start=1)},
    **{f"{prefix}ib": 1024**power for power, prefix in enumerate("kmgt", start=1)},
}
_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b)\s*", re.ASCII | re.IGNORECASE)


def parse_size(text: object) -> int:
    """Bytes of "4 GiB" (1024-fold units) or "500 MB" (1000-fold); 0 for "off" and 0; ValueError for anything else."""
    if (type(text) is int and text == 0) or (isinstance(text, str) and text.strip().lower() in ("off", "0")):
        return 0
    match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2].lower() not in _UNITS:
        raise ValueError('should be a size such as "4 GiB" or "500 MB", or "off"')
    return int(Decimal(match[1]) * _UNITS[match[2].lower()])


def read_size(flag: str, text: str) -> int:
    """`parse_size` of a flag's value; UserError names the flag."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise UserError(Problem(str(error), flag, text)) from error


def readable(size: int) -> str:
    """Bytes in the unit that suits them: "512 B", "3.1 GiB"."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"
