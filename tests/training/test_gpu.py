"""On CUDA: strict mode repeats and resumes bit-identically, and agrees with the CPU within rounding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from petlsparse.training.arithmetic import reference_arithmetic
from tests.training.toys import toy_training

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")


def test_strict_mode_resumes_bit_identically(tmp_path: Path) -> None:
    with reference_arithmetic(deterministic=True):
        whole = toy_training(device=CUDA)
        expected = whole.run()
        cut = toy_training(device=CUDA, checkpoint=tmp_path / "checkpoint.safetensors")
        cut.should_stop = lambda: cut.journey.step == 5
        assert cut.run().status == "interrupted"
        resumed = toy_training(device=CUDA, checkpoint=tmp_path / "checkpoint.safetensors")
        result = resumed.run()
    assert result.history == expected.history
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_cuda_trains_what_the_cpu_trains_within_rounding() -> None:
    """Same data order, same augmentation draws: only the arithmetic differs."""
    on_cuda, on_cpu = toy_training(device=CUDA), toy_training()
    on_cuda.run()
    on_cpu.run()
    for ours, theirs in zip(on_cuda.model.parameters(), on_cpu.model.parameters(), strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-4)


def test_products_are_rounded_to_tf32_only_where_asked_for() -> None:
    left, right = (torch.randn(512, 512, generator=torch.Generator().manual_seed(i)) for i in range(2))
    exact = left.double() @ right.double()

    def error(*, tf32: bool) -> float:
        with reference_arithmetic(deterministic=True, tf32=tf32):
            product = (left.cuda() @ right.cuda()).cpu()
        return float((product - exact).norm() / exact.norm())

    assert error(tf32=False) < 1e-6
    if torch.cuda.get_device_capability() >= (8, 0):
        assert 1e-5 < error(tf32=True) < 1e-3  # inputs are rounded to 10 bits: a relative 2**-11 at most, each
