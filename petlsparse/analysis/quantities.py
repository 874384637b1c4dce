"""Numbers for people: 1 run, 1.23M parameters, 45.6G FLOPs, 85 s, 512 MiB. A missing number is an en dash."""

import math
from collections.abc import Callable
from numbers import Real

MISSING = "–"
_DECIMAL = ("", "k", "M", "G", "T", "P", "E")
_BINARY = (" B", " KiB", " MiB", " GiB", " TiB")


def known(value: object) -> float | None:
    """The finite number in a table cell, or None for None, NaN, infinity and text."""
    return float(value) if isinstance(value, Real) and math.isfinite(value) else None


def _scaled(value: object, base: float, units: tuple[str, ...]) -> str:
    number = known(value)
    if number is None:
        return MISSING
    power = 0
    while abs(number) >= 999.5 and power < len(units) - 1:
        number /= base
        power += 1
    digits = 0 if power == 0 or abs(number) >= 99.95 else 1 if abs(number) >= 9.995 else 2
    return f"{number:.{digits}f}{units[power]}"


def count(value: object) -> str:
    """Parameters or FLOPs: 950, 1.23M, 45.6G."""
    return _scaled(value, 1000, _DECIMAL)


def memory(value: object) -> str:
    """Bytes: 512 MiB, 1.50 GiB."""
    return _scaled(value, 1024, _BINARY)


def counted(number: int, what: str) -> str:
    """A number of things, one of which is called `what`: 1 run, 2 runs."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def percent(value: object) -> str:
    """A number that is already in percent, to the hundredth: 93.12."""
    number = known(value)
    return MISSING if number is None else f"{number:.2f}"


def measured(unit: str) -> Callable[[object], str]:
    """How a metric in this unit is shown: percentages to the hundredth, others to four digits."""
    return percent if unit == "%" else _four_digits


def _four_digits(value: object) -> str:
    number = known(value)
    return MISSING if number is None else f"{number:.4g}"


def exact(value: object) -> str:
    """A number to six digits; anything else as it is."""
    return MISSING if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def with_unit(value: object, unit: str) -> str:
    """What a column of a table holds, for people; `unit` as the table's description names it."""
    text = _BY_UNIT.get(unit, exact)(value)
    return text if text == MISSING or unit not in ("%", "1/s", "FLOP") else f"{text} {unit}"


def duration(seconds: object) -> str:
    """Seconds: 0.04 s, 4.2 s, 85 s, 12 min, 3 h 20 min, 2 d 5 h."""
    number = known(seconds)
    if number is None:
        return MISSING
    if number < 119.5:
        return f"{number:.2g} s" if number < 0.95 else f"{number:.1f} s" if number < 9.95 else f"{number:.0f} s"
    minutes = round(number / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


_BY_UNIT: dict[str, Callable[[object], str]] = {
    "s": duration,
    "byte": memory,
    "parameter": count,
    "FLOP": count,
    "1/s": count,
    "%": percent,
}
