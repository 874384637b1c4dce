"""Where the settings of a recipe's runs were written."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

from petlsparse.errors import Problem
from petlsparse.recipe.configurations import configurations
from petlsparse.recipe.origins import Origins
from petlsparse.recipe.recipe_file import RecipeFile
from petlsparse.recipe.schema import keys_of


@dataclass(frozen=True)
class SettingLocations:
    """Finds the file and line, or the flag, of a run's setting."""

    recipe_file: RecipeFile
    origins: Origins
    configurations: Mapping[str, int]
    """Run id -> number of the combination of settings that it was made from."""
    arms: Mapping[str, int]
    """Run id -> number of the first arm that it belongs to."""

    def where(self, run_id: str, key: str) -> str:
        """'recipe.toml:12: arms[0].method.rank': where a setting was written, or else where it would have to be."""
        written = next(islice(configurations(self.recipe_file), self.configurations[run_id], None))
        relevant, _ = written.drop_irrelevant(self.recipe_file.study)
        return self.origins.where(relevant.locate(tuple(key.split("."))))

    def locate(self, problem: Problem, run_id: str) -> Problem:
        """The problem of a run, with its place in the recipe where it is about a setting."""
        # A file may have the name of a setting; a run that a search made of others was not written anywhere.
        about_setting = problem.where in keys_of(self.recipe_file.study) and run_id in self.configurations
        return replace(problem, where=self.where(run_id, problem.where)) if about_setting else problem
