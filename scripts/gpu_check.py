"""Everything that only an accelerator can tell, within minutes: tests, both smoke recipes beside the CPU, speed.

Usage: python scripts/gpu_check.py --out DIR [--wheels FOLDER] [--device cuda] [--minutes 8] [--quick]

Nothing has to be installed but what petlsparse depends on. What is missing may come as wheels from a folder, and no
registry is asked. Every part has a time limit of its own, and its result is in DIR as soon as it ends: one that fails
or hangs costs nothing of the others. DIR then holds check.json, summary.txt and the output of every part.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[1]
CLI = (sys.executable, "-c", "from petlsparse._cli import main; main()")
SUMMARY_LINES = 20
SMALL = ("--seeds", "1", "--set", "training.duration=30 steps", "--set", "schedule.name=constant")

ENVIRONMENT = """
import json, platform, sys
from importlib import metadata
import torch
names = ("torch", "timm", "peft", "numpy", "pandas", "pyarrow", "pydantic", "typer", "pytest", "hypothesis")
environment = {"python": platform.python_version(), "cuda": torch.version.cuda, "device": "cpu"}
for name in names:
    try:
        environment[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        environment[name] = None
if torch.cuda.is_available():
    device = torch.cuda.get_device_properties(0)
    environment |= {"device": device.name, "memory_gib": round(device.total_memory / 2**30, 1)}
print(json.dumps(environment))
"""


@dataclass(frozen=True)
class Part:
    """One question: commands that are executed one after another, and what to read of what they leave."""

    name: str
    seconds: float
    """Limit of all its commands together."""
    commands: Sequence[Sequence[str]]
    read: Callable[[Path], Any]
    """(folder of results) -> the part's answer, JSON; may raise where the commands left nothing."""


def parts(out: Path, device: str, *, quick: bool) -> list[Part]:
    """All parts, the most telling first; 480 s together."""
    small = SMALL if quick else ()
    bench = ("--quick",) if quick else ("--rounds", "5")

    def smoke(study: str, recipe: str, where: str, seconds: float) -> Part:
        name = f"{recipe}-{where}"
        store = str(out / name)
        flags = ("--out", store, "--device", "cpu" if where == "cpu" else device, "--progress", "plain", *small)
        commands = ((*CLI, study, recipe, *flags), (*CLI, "compare", store, "--json"))
        return Part(name, seconds, commands, lambda folder: accuracies(folder / f"{name}.log"))

    def benchmark(name: str, seconds: float) -> Part:
        command = (sys.executable, "-m", "benchmarks", name, "--out", str(out), *bench)
        return Part(name, seconds, (command,), lambda folder: medians(folder / f"{name}.json"))

    junit = out / "tests.xml"
    tests = (
        *(sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", f"--junitxml={junit}"),
        *("-o", f"pythonpath={out / 'site'} {ROOT}"),
        *gpu_tests(),
    )
    return [
        Part("environment", 20, ((sys.executable, "-c", ENVIRONMENT),), last_line),
        Part("tests", 130, (tests,), lambda _: counts(junit)),
        smoke("dst-sweep", "dst-smoke", "device", 50),
        benchmark("cohorts", 80),
        smoke("adapter-search", "adapter-smoke", "device", 50),
        benchmark("vit", 70),
        smoke("dst-sweep", "dst-smoke", "cpu", 30),
        smoke("adapter-search", "adapter-smoke", "cpu", 50),
    ]


def gpu_tests() -> list[str]:
    """The files that have `gpu` tests: others may need packages that are not there."""
    return sorted(str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in path.read_text())


def check(parts: Sequence[Part], out: Path, *, seconds: float, environment: Mapping[str, str]) -> dict[str, Any]:
    """Execute all parts within so many seconds; the answers so far are written after each one.

    Returns part name -> status ("done", "failed", "late", "no time"), seconds, and the answer or why there is none.
    """
    found: dict[str, Any] = {}
    end = time.monotonic() + seconds
    for part in parts:
        begun = time.monotonic()
        left = min(part.seconds, end - begun)
        status = executed(part, out, left, environment) if left > 1 else "no time"
        found[part.name] = {"status": status, "seconds": round(time.monotonic() - begun, 1)}
        try:
            found[part.name]["answer"] = part.read(out)
        except (OSError, ValueError, KeyError, IndexError, TypeError, ET.ParseError) as error:
            found[part.name]["answer"] = None
            if status == "done":
                found[part.name] |= {"status": "failed", "reason": f"left nothing to read: {error!r}"}
        (out / "check.json").write_text(json.dumps(found, indent=1) + "\n")
        (out / "summary.txt").write_text("\n".join(summary(found)) + "\n")
        print(f"{part.name}: {found[part.name]['status']}, {found[part.name]['seconds']} s", flush=True)
    return found


def executed(part: Part, out: Path, seconds: float, environment: Mapping[str, str]) -> str:
    """Run the part's commands, output to a log; all of their processes are gone when this returns."""
    end = time.monotonic() + seconds
    with (out / f"{part.name}.log").open("w") as log:
        for command in part.commands:
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment, start_new_session=True
            )
            try:
                code = process.wait(max(end - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                return "late"
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if code:
                return "failed"
    return "done"


def importable(site: Path, wheels: Path | None) -> dict[str, str]:
    """The environment in which `petlsparse`, and what comes as wheels, can be imported from `site`.

    The folders that an installation would put into the package under private names are linked there.
    """
    package = site / "petlsparse"
    package.mkdir(parents=True, exist_ok=True)
    private = {"_cli": ROOT / "cli", "_recipes": ROOT / "recipes"}
    own = {path.name: path for path in (ROOT / "petlsparse").iterdir() if path.name != "__pycache__"}
    for name, target in {**own, **private}.items():
        link = package / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    if wheels is not None:
        install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--upgrade", "--target", str(site)]
        subprocess.run([sys.executable, *install, *map(str, sorted(wheels.glob("*.whl")))], check=True)
    paths = (str(site), str(ROOT), os.environ.get("PYTHONPATH", ""))
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "OMP_NUM_THREADS": "1",
        "PETLSPARSE_CACHE": str(site.parent / "cache"),
    }


def last_line(out: Path) -> Any:
    """Of the log of the first part, which is JSON."""
    return json.loads((out / "environment.log").read_text().splitlines()[-1])


def counts(junit: Path) -> dict[str, Any]:
    """Tests passed, failed and skipped, with the names of those that failed."""
    cases = list(ET.parse(junit).iter("testcase"))
    failed = [case.get("name") for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    return {"passed": len(cases) - len(failed) - skipped, "skipped": skipped, "failed": failed}


def accuracies(log: Path) -> dict[str, Any]:
    """Method -> mean test accuracy and seconds of a run, from the JSON that ends the log of a smoke recipe."""
    text = log.read_text()
    rows = json.loads(text[text.rindex("\n[\n") :])
    return {row["method"]: {"accuracy": row["test_accuracy_mean"], "seconds": row["wall_seconds"]} for row in rows}


def medians(path: Path) -> list[dict[str, Any]]:
    """Title, notes and median seconds of every contestant of a benchmark's tables."""
    return [
        {
            "title": table["title"],
            "seconds": {name: summary["median"] for name, summary in table["summary"].items()},
            "notes": table["notes"],
        }
        for table in json.loads(path.read_text())["comparisons"]
    ]


def summary(found: Mapping[str, Any]) -> list[str]:
    """At most twenty lines for a person."""
    answer = {name: part["answer"] for name, part in found.items() if part["answer"] is not None}
    lines = [", ".join(f"{name} {part['status']} {part['seconds']:.0f} s" for name, part in found.items())]
    if environment := answer.get("environment"):
        lines.append(", ".join(f"{name} {value}" for name, value in environment.items()))
    if tests := answer.get("tests"):
        passed, failed, skipped = tests["passed"], tests["failed"], tests["skipped"]
        lines.append(
            f"tests: {passed} passed, {len(failed)} failed, {skipped} skipped" + "".join(f", {one}" for one in failed)
        )
    for recipe in ("dst-smoke", "adapter-smoke"):
        here, there = answer.get(f"{recipe}-device"), answer.get(f"{recipe}-cpu")
        if here and there:
            lines.append(f"{recipe}: {differences(here, there)}")
    for name in ("cohorts", "vit"):
        for table in answer.get(name, ()):
            figures = ", ".join(f"{one} {1e3 * seconds:.3g} ms" for one, seconds in table["seconds"].items())
            lines.append(f"{table['title']}: {figures}")
            lines += [note for note in table["notes"] if "in an hour" in note or "not recorded" in note]
    return lines[:SUMMARY_LINES]


def differences(device: Mapping[str, Any], cpu: Mapping[str, Any]) -> str:
    """Accuracies on the device less those on the CPU, in points, and the seconds of a run on both."""
    both = [name for name in device if name in cpu and None not in (device[name]["accuracy"], cpu[name]["accuracy"])]
    if not both:
        return "no method has a result on both"
    points = {name: device[name]["accuracy"] - cpu[name]["accuracy"] for name in both}
    widest = max(points, key=lambda name: abs(points[name]))
    times = (fmean(where[name]["seconds"] for name in both) for where in (device, cpu))
    mean = fmean(points.values())
    return (
        f"device less cpu {mean:+.2f} points on average, most {points[widest]:+.2f} ({widest}); "
        "{:.2g} s and {:.2g} s a run".format(*times)
    )


def main() -> int:
    """0 if every part is done, tests were executed on the device, and none failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--wheels", type=Path, help="folder of wheels of what is not installed")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try everything but the device")
    parser.add_argument("--minutes", type=float, default=8, help="for all parts together")
    parser.add_argument("--quick", action="store_true", help="the smallest case of everything")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        parser.error(f"{out} is not empty: results of an earlier check would pass for new ones")
    environment = importable(out / "site", arguments.wheels)
    found = check(
        parts(out, arguments.device, quick=arguments.quick),
        out,
        seconds=60 * arguments.minutes,
        environment=environment,
    )
    print((out / "summary.txt").read_text(), end="")
    tests = found["tests"]["answer"]
    untested = tests is None or bool(tests["failed"]) or (arguments.device != "cpu" and not tests["passed"])
    return int(untested or any(part["status"] != "done" for part in found.values()))


if __name__ == "__main__":
    sys.exit(main())
