"""Lengths of training, in epochs or in optimizer steps: "20 epochs", "500 steps"."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_PATTERN = re.compile(r"\s*(\d+)\s+(epoch|step)s?\s*", re.ASCII)

LONGEST = 15
"""Digits of a count: steps, times their examples, stay whole numbers that every table can hold."""


@dataclass(frozen=True)
class Duration:
    """A whole number of epochs or of optimizer steps."""

    count: int
    unit: Literal["epochs", "steps"]

    @classmethod
    def parse(cls, text: object) -> "Duration":
        """Read "20 epochs" or "1 step"; ValueError for anything else. A Duration passes through."""
        if isinstance(text, Duration):
            return text
        match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError('should be a duration such as "20 epochs" or "500 steps"')
        if len(match[1]) > LONGEST:
            raise ValueError(f"should have at most {LONGEST} digits")
        return cls(int(match[1]), "epochs" if match[2] == "epoch" else "steps")

    def steps(self, steps_per_epoch: int) -> int:
        """The same length in optimizer steps."""
        return self.count * steps_per_epoch if self.unit == "epochs" else self.count

    def __str__(self) -> str:
        """The canonical form: "1 epoch", "20 epochs"."""
        return f"{self.count} {self.unit if self.count != 1 else self.unit[:-1]}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())


def positive(duration: Duration) -> Duration:
    """Refuse a duration of nothing."""
    if duration.count == 0:
        raise ValueError("should be longer than nothing")
    return duration
