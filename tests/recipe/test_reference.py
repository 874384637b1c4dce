"""The settings reference says of every setting what the models do."""

from pathlib import Path

import pytest

from petlsparse.recipe.reference import REQUIRED, SettingEntry, markdown, reference
from petlsparse.recipe.schema import RUN_TYPES, keys_of, tables_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def entries() -> dict[str, SettingEntry]:
    """The entries by key, of the first kind that has it."""
    return {entry.key: entry for entry in reversed(reference())}


@pytest.mark.parametrize("study", RUN_TYPES)
def test_every_setting_of_every_study_has_an_entry(study):
    listed = {entry.key for entry in reference(study) if entry.section in tables_of(study)}
    assert listed == set(keys_of(study)) - {"seed"}


def test_every_entry_says_what_it_means(entries):
    assert [key for key, entry in entries.items() if not entry.meaning.endswith(".")] == []


def test_facts_of_settings_of_every_form(entries):
    def facts(key):
        entry = entries[key]
        return entry.type, entry.default, entry.unit, entry.valid

    assert facts("method.density") == ("number", REQUIRED, "fraction", ("> 0", "<= 1"))
    assert facts("method.update_period") == ("integer", "800", "optimizer steps", (">= 1",))
    assert facts("method.placement.seed") == ("integer", "0", "", (">= 0",))
    assert facts("method.layer_norm") == ("true or false", "true", "", ())
    assert facts("method.growth") == ("name or table", REQUIRED, "", ("random", "gradient"))
    assert facts("method.placement.edges") == ("list of pairs", REQUIRED, "", (">= 0",))
    assert "folder:" in facts("data.name")[3]
    assert facts("data.image_size") == ("integer", "", "pixels", (">= 1",))
    assert facts("network.widths") == ("list of integers", "[1024, 512]", "", (">= 1",))
    assert facts("schedule.milestones") == ("list of numbers", "[0.5, 0.75]", "fraction", ("> 0", "<= 1"))
    assert facts("schedule.warmup")[:2] == ("duration", '"0 steps"')
    assert facts("launch.cache_memory") == ("size", "", "", ("4 GiB", "500 MB", "off"))
    assert facts("launch.backend") == ("text", "", "", ("auto", "masked", "csr"))


def test_a_setting_of_several_kinds_is_one_entry_unless_they_differ():
    found = [entry for entry in reference("dst-sweep") if entry.key == "optimizer.weight_decay"]
    assert [(entry.kinds, entry.default) for entry in found] == [(("sgd", "adam"), "0.0"), (("adamw",), "0.01")]


def test_the_page_is_what_the_models_say():
    page = ROOT / "docs" / "settings.md"
    assert page.read_text() == markdown(), "out of date: petlsparse settings --markdown > docs/settings.md"
