"""Standard streams that never end a command: what cannot be written is dropped, what cannot be encoded is spelt."""

import codecs
import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

GONE = frozenset({errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO})
"""Nobody reads any more: a pager that was left, a terminal that was closed. That is no error."""

SPELT = {"±": "+/-", "×": "x", "–": "-", "—": "-", "→": "->", "…": "...", "─": "-", "━": "-", "╸": "-", "╺": "-"}
"""Characters of ours where the encoding has none."""


class Stream:
    """A text stream that does not raise OSError: after the first one it writes to nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.error: OSError | None = None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=SPELLING)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        """Write `text`, if that is possible."""
        with self._dropping():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written, if that is possible."""
        with self._dropping():
            self.stream.flush()

    @contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = self.error or error
            # What is buffered must go somewhere too, or Python complains of it at its end and exits with status 120.
            with suppress(OSError), Path(os.devnull).open("w") as nowhere:
                os.dup2(nowhere.fileno(), self.stream.fileno())


@contextmanager
def steady_streams() -> Iterator[tuple[Stream, Stream]]:
    """Standard output and standard error that nothing can go wrong with; `error` of each says if something did."""
    _open_descriptors()
    before = sys.stdout, sys.stderr
    out, err = (Stream(stream or io.StringIO()) for stream in before)
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    try:
        yield out, err
        out.flush()
        err.flush()
    finally:
        sys.stdout, sys.stderr = before


def _open_descriptors() -> None:
    """A standard stream that was closed (`2>&-`) is nowhere: or the next file to be opened would take its place."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free


def spell(error: UnicodeError) -> tuple[bytes, int]:
    """For `codecs.register_error`: bytes of a file name as they are, characters of ours in ASCII, others as `?`."""
    assert isinstance(error, UnicodeEncodeError)
    return b"".join(map(_spelt, error.object[error.start : error.end])), error.end


def _spelt(character: str) -> bytes:
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00])
    return SPELT.get(character, "?").encode()


SPELLING = "spelt"
"""The name of `spell` as an error handler."""

codecs.register_error(SPELLING, spell)
