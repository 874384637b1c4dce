"""Comparison tables and statistics over stores of runs; reads what was recorded and never trains."""
