"""Streams: reproducible, separate, and leaving torch's global generator alone."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from petlsparse.training.seeding import derived_seed, random_stream, seeded
from tests.training.toys import toy_training, train


def test_derived_seeds_never_change_between_releases() -> None:
    """First 8 bytes of SHA-256, halved; a change here would silently change every stored result."""
    assert derived_seed(1, "init") == 5267816590608909949
    assert derived_seed(1, "order", 0) == 433034383059858670
    assert derived_seed(12, "masks") == 7655372840652504367


@given(st.integers(0, 2**31), st.sampled_from(["init", "order", "masks", "growth"]), st.integers(0, 1000))
def test_a_stream_is_a_function_of_its_address(seed: int, purpose: str, index: int) -> None:
    first, again = random_stream(seed, purpose, index), random_stream(seed, purpose, index)
    assert torch.equal(torch.rand(5, generator=first), torch.rand(5, generator=again))


def test_streams_of_different_addresses_differ() -> None:
    addresses = [(s, p, i) for s in range(4) for p in ("init", "order", "masks") for i in range(10)]
    assert len({derived_seed(*address) for address in addresses}) == len(addresses)
    assert derived_seed(1, "order", 11) != derived_seed(11, "order", 1)


def test_a_seeded_block_leaves_the_global_generator_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(1, "init"):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(1, "init"):
        assert torch.equal(torch.rand(3), inside)


def test_a_seeded_block_on_the_cpu_reseeds_no_other_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("CUDA was reseeded"))
    with seeded(1, "init"):
        torch.nn.Linear(2, 2)


def test_a_training_with_dropout_leaves_the_global_generators_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    training = toy_training(dropout=0.3)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("CUDA was reseeded"))
    before = torch.get_rng_state()
    train(training)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_dropped_at_a_step_is_what_the_named_stream_drops() -> None:
    """As it always was: the numbers of stored results rest on it."""
    torch.manual_seed(derived_seed(7, "dropout", 3))
    expected = torch.nn.functional.dropout(torch.ones(20), 0.3)
    with toy_training(dropout=0.3).dropout(3):
        assert torch.equal(torch.nn.functional.dropout(torch.ones(20), 0.3), expected)


@pytest.mark.gpu
def test_a_seeded_block_on_cuda_touches_its_device_alone() -> None:
    device = torch.device("cuda")
    both = torch.get_rng_state(), torch.cuda.get_rng_state()
    torch.manual_seed(derived_seed(1, "dropout", 4))
    expected = torch.rand(3, device=device)
    torch.set_rng_state(both[0])
    torch.cuda.set_rng_state(both[1])
    with seeded(1, "dropout", 4, device=device):
        assert torch.equal(torch.rand(3, device=device), expected)
    assert torch.equal(torch.get_rng_state(), both[0])
    assert torch.equal(torch.cuda.get_rng_state(), both[1])
