"""`petlsparse doctor`."""

from collections.abc import Iterator
from typing import NamedTuple

from rich.text import Text

from . import _console
from ._options import Json


class Finding(NamedTuple):
    """One line of the report."""

    section: str
    name: str
    found: str


def doctor(json: Json = False) -> None:
    """Say what this installation finds: versions, devices, threads, data and weights.

    Examples:
        petlsparse doctor
    """
    with _console.err.status("looking around ..."):
        findings = [*_software(), *_machine(), *_data(), *_weights()]
    if json:
        _console.print_json([finding._asdict() for finding in findings])
        return
    rows, section = [], ""
    for finding in findings:
        rows.append((finding.section if finding.section != section else "", finding.name, finding.found))
        section = finding.section
    _console.out.print(_console.grid(["", "", "found"], rows))
    _console.out.print(Text("petlsparse data ls says how to supply data that was not found.", style="dim"))


def _software() -> Iterator[Finding]:
    from petlsparse.tracking.provenance import PACKAGES, of_command

    versions = of_command()
    for package in PACKAGES:
        yield Finding("software", package, str(versions[f"{package}_version"]))
    yield Finding("software", "python", str(versions["python"]))


def _machine() -> Iterator[Finding]:
    import psutil
    import torch

    from petlsparse.analysis.quantities import memory
    from petlsparse.tracking.provenance import of_command

    yield Finding("machine", "cpu", str(of_command()["cpu"]))
    yield Finding("machine", "cores", f"{psutil.cpu_count(logical=False)}, {psutil.cpu_count()} logical")
    yield Finding("machine", "threads", f"{torch.get_num_threads()} by default, 1 per worker")
    yield Finding("machine", "memory", memory(psutil.virtual_memory().total))
    if not torch.cuda.is_available():
        yield Finding("machine", "cuda", "none; runs use the CPU")
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield Finding("machine", f"cuda:{index}", f"{device.name}, {memory(device.total_memory)}")


def _data() -> Iterator[Finding]:
    from petlsparse.data import inventory

    for row in inventory():
        yield Finding("data", row.name, row.source if row.found else "no")


def _weights() -> Iterator[Finding]:
    from importlib.resources import files

    from huggingface_hub import CacheNotFound, scan_cache_dir

    from petlsparse.backbones import PACKAGED
    from petlsparse.backbones.packaged import folder_of

    bundled = files("petlsparse.backbones") / "bundled" / "vit-micro.safetensors"
    yield Finding("weights", "vit-micro", "bundled" if bundled.is_file() else "no")
    for name in PACKAGED:
        yield Finding("weights", name, "fetched" if folder_of(name).is_dir() else "no")
    try:
        repos = sorted(repo.repo_id for repo in scan_cache_dir().repos if repo.repo_type == "model")
    except (CacheNotFound, OSError, RuntimeError):  # none, one that cannot be read, or no home to look in
        repos = []
    yield Finding("weights", "hub cache", ", ".join(repos) or "empty")
