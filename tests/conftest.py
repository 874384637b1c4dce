"""What all tests share: one thread, no network, no terminal, the same drawn examples every day, GPU tests on a GPU."""

import os
import signal

import pytest
from hypothesis import settings

# Before torch is imported anywhere, and inherited by subprocesses.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

# Before a console is made: what is printed must not depend on who looks.
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(name, None)

# A shell's background and `nohup` leave signals ignored, here and in all that is started from here.
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

# A test's examples follow from its source alone, and no clock fails it. What `make fuzz` finds becomes an @example.
settings.register_profile("same-every-day", max_examples=60, derandomize=True, database=None, deadline=None)
settings.register_profile("fuzz", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile("same-every-day")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is measured on this machine is neither read from the user's cache nor written there."""
    os.environ["PETLSPARSE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    gpu_tests = [item for item in items if "gpu" in item.keywords]
    if not gpu_tests:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu_tests:
            item.add_marker(pytest.mark.skip(reason="needs CUDA"))
