"""The shipped recipes, installed as `petlsparse._recipes` and found by name (see `petlsparse.recipe`)."""
