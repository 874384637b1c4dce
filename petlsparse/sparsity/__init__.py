"""Dynamic sparse training: how many weights each layer keeps, which ones go, which ones come.

A new distribution, criterion, growth rule or schedule is one function and one line below; nothing else changes.
"""

DISTRIBUTIONS = {
    "erk": "petlsparse.sparsity.distributions:erk",
    "er": "petlsparse.sparsity.distributions:er",
    "uniform": "petlsparse.sparsity.distributions:uniform",
}
"""Distribution name -> function (shapes, density) giving the density of every layer."""

CRITERIA = {
    "magnitude": "petlsparse.sparsity.criteria:magnitude",
    "ema-magnitude": "petlsparse.sparsity.criteria:ema_magnitude",
    "set": "petlsparse.sparsity.criteria:set_intended",
    "mest": "petlsparse.sparsity.criteria:mest",
    "snip": "petlsparse.sparsity.criteria:snip",
    "reciprocal-sensitivity": "petlsparse.sparsity.criteria:reciprocal_sensitivity",
    "sensitivity": "petlsparse.sparsity.criteria:sensitivity",
    "random": "petlsparse.sparsity.criteria:random",
}
"""Criterion name -> `Criterion`: which active weights are pruned."""

GROWTHS = {
    "random": "petlsparse.sparsity.growth:random",
    "gradient": "petlsparse.sparsity.growth:steepest",
}
"""Growth name -> `Growth`: which inactive weights become active."""

DROP_SCHEDULES = {
    "cosine": "petlsparse.sparsity.schedules:cosine",
    "constant": "petlsparse.sparsity.schedules:constant",
    "linear": "petlsparse.sparsity.schedules:linear",
}
"""Schedule name -> function (initial, step, end) giving the drop fraction of an update."""
