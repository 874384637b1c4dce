"""Runs trained as one: their parameters as rows of common tensors, which models and optimizers work on."""
