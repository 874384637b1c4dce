"""Names of data sets that are a prefix and a reference, such as ``folder:pets``."""

from __future__ import annotations

from petlsparse.data import FAMILIES, NAMES
from petlsparse.errors import UserError, unknown_name


def family_of(name: str) -> tuple[str, str] | None:
    """The prefix and what follows it; None for a name without a prefix.

    Raises UserError for what is not among the members of a family.
    """
    prefix = next((each for each in FAMILIES if name.startswith(each)), None)
    if prefix is None:
        return None
    reference = name.removeprefix(prefix)
    if FAMILIES[prefix].members and reference not in FAMILIES[prefix].members:
        raise UserError(unknown_name("data set", name, NAMES, where="data.name"))
    return prefix, reference
