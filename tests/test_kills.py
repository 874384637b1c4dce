"""Killed at random moments, the same command again and again ends with the results of an undisturbed one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from petlsparse.tracking.compaction import read_table
from petlsparse.tracking.equality import differences
from petlsparse.tracking.progress import read_heartbeat
from petlsparse.tracking.store import Store
from tests.launch.test_interruption import is_worker

Kill = Callable[[subprocess.Popen[bytes], random.Random], bool]
"""Kills something of a command; False if there was nothing to kill."""

ENDLESS = 100  # commands; a test that needs more makes no progress between kills

SPARSE = """
study = "dst-sweep"
seeds = 2
[run]
data = { name = "digits" }
network = { name = "mlp", widths = [200, 100] }
optimizer = { name = "sgd", lr = 0.05 }
training = { batch_size = 16, duration = "12 epochs" }
[output]
checkpoint_every = "50 steps"
checkpoint_seconds = 0
[launch]
cohort = "COHORT"
[[arms]]
method = { kind = "static", density = 0.2 }
[[arms]]
method = { kind = "dst", density = 0.2, growth = "gradient", update_period = 20 }
grid."method.criterion" = ["ema-magnitude", "snip"]
"""

AS_ONE, APART = SPARSE.replace("COHORT", "auto"), SPARSE.replace("COHORT", "off")
SEARCHED = APART.replace("seeds = 2", 'seeds = 1\n[search]\nname = "best-of"\nrepeats = 2')

ADAPTED = """
study = "adapter-search"
seeds = 1
[run]
data = { name = "digits" }
backbone = { pretrained = false }
optimizer = { name = "adamw", lr = 1e-3 }
training = { batch_size = 50, duration = "2 epochs" }
[output]
checkpoint_every = "4 steps"
checkpoint_seconds = 0
[[arms]]
method = { kind = "linear-probe" }
[[arms]]
method = { kind = "adapters", placement = { name = "explicit", edges = [[9, 3], [4, 5]] } }
[[arms]]
method = { kind = "adapters", placement = { name = "random", count = 4 } }
"""


def start(study: str, recipe: Path, out: Path) -> subprocess.Popen[bytes]:
    """The command, in a process group of its own."""
    script = "import sys; from petlsparse._cli import main; sys.exit(main())"
    arguments = [study, str(recipe), "--out", str(out), "--workers", "2", "--progress", "none"]
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def kill_everything(command: subprocess.Popen[bytes], chance: random.Random) -> bool:
    if command.poll() is not None:
        return False
    os.killpg(command.pid, signal.SIGKILL)
    return True


def kill_a_worker(command: subprocess.Popen[bytes], chance: random.Random) -> bool:
    try:
        workers = [child for child in psutil.Process(command.pid).children() if is_worker(child)]
        if not workers:
            return False
        chance.choice(workers).kill()
    except psutil.NoSuchProcess:  # just ended
        return False
    return True


def killed_while_training(command: subprocess.Popen[bytes], out: Path, kill: Kill, chance: random.Random) -> bool:
    """Kill the command, or a worker of it, at a random moment of its training; False if it ended before."""
    while command.poll() is None:
        if any(read_heartbeat(path) for path in out.glob("runs/*/progress.json")):
            time.sleep(chance.uniform(0, 3))
            if kill(command, chance):
                return True
        time.sleep(0.05)
    return False


CASES = (
    ("dst-sweep", AS_ONE, kill_everything, 2),
    ("dst-sweep", APART, kill_everything, 4),
    ("dst-sweep", AS_ONE, kill_a_worker, 4),
    ("dst-sweep", SEARCHED, kill_everything, 4),
    ("adapter-search", ADAPTED, kill_everything, 4),
    ("adapter-search", ADAPTED, kill_a_worker, 4),
)


@pytest.mark.slow
@pytest.mark.parametrize(("study", "text", "kill", "kills"), CASES)
def test_a_killed_study_ends_like_an_undisturbed_one(
    study: str, text: str, kill: Kill, kills: int, tmp_path: Path
) -> None:
    recipe = tmp_path / "killed.toml"
    recipe.write_text(text)
    calm = start(study, recipe, tmp_path / "calm")
    _, complaint = calm.communicate()
    assert calm.returncode == 0, complaint.decode()

    out, chance, landed = tmp_path / "killed", random.Random(f"{study} {kills}"), 0
    for _ in range(ENDLESS):
        command = start(study, recipe, out)
        if landed < kills:
            landed += killed_while_training(command, out, kill, chance)
        _, complaint = command.communicate()
        if command.returncode == 0:
            break
        assert command.returncode in (1, -signal.SIGKILL), complaint.decode()
    else:
        pytest.fail(f"{ENDLESS} commands and still not done")
    assert landed > 0
    assert not differences(tmp_path / "calm", out)
    cohorts = read_table(Store(tmp_path / "calm"), "runs")["cohort"]
    assert cohorts.max() > 1 if text is AS_ONE else cohorts.isna().all()
