"""Settings of a function: its keyword-only arguments."""

import pytest
from pydantic import ValidationError

from petlsparse.settings import Count, NonNegative, settings_of


def rule(*, count: Count = 0, share: NonNegative = -0.0) -> None: ...


def test_a_default_is_held_to_its_annotation_as_a_written_value_is() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        settings_of(rule, "rule").model_validate({"name": "rule"})
    assert str(settings_of(rule, "rule").model_validate({"name": "rule", "count": 1}).arguments()["share"]) == "0.0"
