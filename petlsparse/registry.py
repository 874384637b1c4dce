"""Extension points: a literal dict from a name to "module:attribute", imported when the name is asked for."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from petlsparse.errors import UserError, unknown_name


def resolve(registry: Mapping[str, str], name: str, kind: str) -> Any:
    """Import what `registry` holds under `name`; `kind` says in the error message what was looked for.

    Raises:
        UserError: if the registry has no such name.
    """
    if name not in registry:
        raise UserError(unknown_name(kind, name, registry))
    module, _, attribute = registry[name].partition(":")
    return getattr(import_module(module), attribute)
