"""Extension points: a literal dict from a name to "module:attribute", imported when the name is asked for."""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any

from petlsparse.errors import Problem, UserError, nearest_name, unknown_name
from petlsparse.homes import expanded


def resolve(registry: Mapping[str, str], name: str, kind: str) -> Any:
    """Import what `registry` holds under `name`, or what "FILE.py:FUNCTION" names in a file of the user's.

    `kind` says in error messages what was looked for.

    Raises:
        UserError: if the registry has no such name, or the file cannot be read, fails or has no such function.
    """
    if is_file(name):
        file, _, attribute = name.rpartition(":")
        module = _loaded(expanded(file))
        found = getattr(module, attribute, None)
        if not callable(getattr(found, "function", found)):
            there = {each: f"{file}:{each}" for each in _functions(module)}
            nearest = there.get(nearest_name(attribute, there) or "")
            raise UserError(Problem(f'"{file}" has no {kind} "{attribute}"', "", None, nearest, tuple(there.values())))
        return found
    if name not in registry:
        raise UserError(unknown_name(kind, name, registry))
    module_name, _, attribute = registry[name].partition(":")
    return getattr(import_module(module_name), attribute)


def _functions(module: ModuleType) -> tuple[str, ...]:
    """What a file of the user's defines that can be named, in its order; not what it imports."""
    defined = {name: getattr(each, "function", each) for name, each in vars(module).items() if not name.startswith("_")}
    return tuple(
        name
        for name, each in defined.items()
        if callable(each) and getattr(each, "__module__", None) == module.__name__
    )


def is_file(name: str) -> bool:
    """Whether a name is that of a function in a file of the user's: "FILE.py:FUNCTION"."""
    return ".py:" in name


@contextmanager
def calling(name: str, where: str) -> Iterator[None]:
    """What a function in a file of the user's raises is the user's to mend: a UserError about the setting `where`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not is_file(name):
            raise
        file = expanded(name.rpartition(":")[0]).absolute()
        lines = [each.lineno for each in extract_tb(error.__traceback__) if Path(each.filename) == file]
        place = f" in line {lines[-1]}" if lines else ""
        raise UserError(Problem(f'"{name}" fails{place}: {type(error).__name__}: {error}', where)) from error


def source_fingerprint(names: Iterable[str]) -> str:
    """12 hex of the SHA-256 of the files that "FILE.py:FUNCTION"s name, in this order; UserError if one is missing."""
    sources = [_source(expanded(name.rpartition(":")[0])) for name in names]
    return hashlib.sha256(b"".join(hashlib.sha256(source).digest() for source in sources)).hexdigest()[:12]


def _source(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UserError(Problem(f'"{file}" cannot be read: {error.strerror}')) from error


def _loaded(file: Path) -> ModuleType:
    """The module of a file; the same one as long as what is in the file is the same."""
    name = f"petlsparse_file_{hashlib.sha256(str(file.resolve()).encode() + _source(file)).hexdigest()[:16]}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[name] = module  # dataclasses look their module up while it is executed
        try:
            spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[name]
            raise UserError(Problem(f'"{file}" fails: {type(error).__name__}: {error}')) from error
    return sys.modules[name]
