"""Adapter placement and dynamic sparse training studies: expand a recipe into runs, train, record, compare."""
