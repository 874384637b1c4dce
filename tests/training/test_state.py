"""What a state tells of the latest evaluation."""

from petlsparse.training.state import TrainState


def test_new_values_are_a_new_mapping() -> None:
    """By which a log sees that there was an evaluation, whatever came of it."""
    state = TrainState()
    state.log(1, "train", loss=0.5)
    before = state.latest
    state.log(1, "train", loss=0.5)
    assert state.latest == before == {"train_loss": 0.5}
    assert state.latest is not before
