"""Studies of adapter placement and dynamic sparse training: expand a recipe, train, record, compare."""
