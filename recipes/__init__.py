"""The shipped recipes; installed as `petlsparse._recipes` and found by file name (see `petlsparse.recipe`)."""
