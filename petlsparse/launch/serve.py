"""A worker process, `python -m petlsparse.launch.serve`: requests from standard input, answers to standard output.

A line of each, see `messages`. It ends with its input.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from functools import partial
from pathlib import Path

from petlsparse.launch.messages import dump_answer, load_request
from petlsparse.launch.worker import run_jobs

COMMAND = (sys.executable, "-P", "-X", "faulthandler", "-m", "petlsparse.launch.serve")
"""Starts it. `-P`: nothing is imported from the working directory, where a user may have a `signal.py`."""


def main() -> None:
    """Serve until there are no more requests."""
    requests, answers = os.dup(0), os.dup(1)
    with Path(os.devnull).open("rb") as nothing:  # what runs read and print goes elsewhere
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, args=[requests], daemon=True).start()
    with os.fdopen(requests, "rb") as lines, os.fdopen(answers, "wb") as out:
        for line in lines:
            request = load_request(line)
            out.write(dump_answer(partial(run_jobs, request) if isinstance(request, list) else request.answered))
            out.flush()


def _end_with_parent(requests: int) -> None:
    """A worker must not outlive its command: nobody would hear of its result, and the next one wants its runs.

    The other end of a pipe is closed with the process that holds it, however that ends. Of a file nothing is heard.
    """
    closed = select.poll()
    closed.register(requests, select.POLLHUP)
    closed.poll()
    os._exit(1)


if __name__ == "__main__":
    main()
