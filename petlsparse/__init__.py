"""Studies of adapter placement and dynamic sparse training: expand a recipe, train, record, compare."""

__version__ = "0.3.0"
