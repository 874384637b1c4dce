"""What a journey tells of the latest evaluation."""

from petlsparse.training.journey import Journey


def test_new_values_are_a_new_mapping() -> None:
    """By which a log sees that there was an evaluation, whatever came of it."""
    journey = Journey()
    journey.note(1, "train", loss=0.5)
    before = journey.latest
    journey.note(1, "train", loss=0.5)
    assert journey.latest == before == {"train_loss": 0.5}
    assert journey.latest is not before
