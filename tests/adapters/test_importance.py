"""What the training loop and the tables get from a transfer method."""

from __future__ import annotations

import pytest
import torch

from petlsparse.adapters.importance import edge_rows
from petlsparse.adapters.tuned import FullFinetuningModel
from petlsparse.training.method import StandardTraining

from .toys import CLASSES, generator, images, placed, stir, tiny_stream


def test_the_optimizer_gets_what_is_trainable_and_nothing_frozen() -> None:
    model = placed([(0, 1), (6, 2)])
    parameters = StandardTraining(model).parameters()
    expected = [*model.adapters.parameters(), *model.head.parameters()]
    assert [id(p) for p in parameters] == [id(p) for p in expected]
    everything = FullFinetuningModel(tiny_stream(), CLASSES, head_generator=generator())
    assert len(StandardTraining(everything).parameters()) == len(list(everything.parameters()))


def test_trainable_tensors_alone_restore_the_model() -> None:
    trained, fresh = stir(placed([(0, 1), (6, 2)])), placed([(0, 1), (6, 2)])
    saved = {name: p.detach().clone() for name, p in trained.named_parameters() if p.requires_grad}
    assert not any(name.startswith("stream.") for name in saved)
    result = fresh.load_state_dict(saved, strict=False)
    assert not result.unexpected_keys
    assert all(name.startswith("stream.") for name in result.missing_keys)
    assert torch.equal(fresh(images()), trained(images()))


def test_rows_tell_scale_and_update_norm_of_every_edge() -> None:
    model = stir(placed([(6, 2), (0, 1), (3, 3), (0, 4)]))
    rows = edge_rows(model)
    assert [(row["source"], row["target"], row["kind"]) for row in rows[::2]] == [
        (0, 1, "parallel"),
        (0, 4, "long-range"),
        (3, 3, "sequential"),
        (6, 2, "recurrent"),
    ]
    recurrent = model.adapters["6->2"]
    update = recurrent.alpha * recurrent.up.weight @ recurrent.down.weight
    assert rows[-2] == {
        "source": 6,
        "target": 2,
        "kind": "recurrent",
        "score_name": "scale",
        "value": recurrent.alpha.item(),
    }
    assert rows[-1]["score_name"] == "update_norm"
    assert rows[-1]["value"] == pytest.approx(torch.linalg.matrix_norm(update).item())


def test_a_model_without_adapters_has_no_edge_rows() -> None:
    assert edge_rows(placed([])) == []


def test_the_method_needs_no_state_of_its_own() -> None:
    method = StandardTraining(placed([(0, 1)]))
    assert method.state() == {}
    method.load_state({})
    assert method.rows() == {}
