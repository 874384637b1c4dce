"""Which arithmetic is switched on within the block, and what is put back after it."""

from __future__ import annotations

import pytest
import torch

from petlsparse.training.arithmetic import missing_arithmetic, reference_arithmetic


def switches() -> tuple[bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
    )


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("tf32", [False, True])
def test_both_switches_of_tf32_follow_and_what_was_there_comes_back(tf32: bool, deterministic: bool) -> None:
    before = switches()
    with reference_arithmetic(deterministic=deterministic, tf32=tf32):
        assert switches() == (deterministic, tf32, tf32)
    assert switches() == before


def test_tf32_is_off_unless_asked_for() -> None:
    with reference_arithmetic(deterministic=False):
        assert switches()[1:] == (False, False)


def test_only_tf32_on_the_cpu_is_missing() -> None:
    missing = {
        (precision, device)
        for precision in ("float32", "tf32", "bf16")
        for device in ("cpu", "cuda", "cuda:0")
        if missing_arithmetic(precision, device)
    }
    assert missing == {("tf32", "cpu")}
