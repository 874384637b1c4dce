"""Speed and memory, measured side by side; run by hand (`make bench`, `python -m benchmarks NAME ...`), no timed tests.

A benchmark is one question, one file and one line below: a function that takes an `Effort` and yields a `Comparison`
for every table of its answer.
"""

from __future__ import annotations

BENCHMARKS = {
    "sparse-step": "benchmarks.sparse_step:run",
    "topology-update": "benchmarks.topology_update:run",
    "convolutions": "benchmarks.convolutions:run",
    "peers-sparse": "benchmarks.peers_sparse:run",
    "adapters": "benchmarks.adapters:run",
    "cohorts": "benchmarks.cohorts:run",
    "vit": "benchmarks.vit:run",
    "scores": "benchmarks.scores:run",
    "loop-overhead": "benchmarks.loop_overhead:run",
    "workers": "benchmarks.workers:run",
    "memory": "benchmarks.memory:run",
    "bookkeeping": "benchmarks.bookkeeping:run",
    "bookkeeping-100k": "benchmarks.bookkeeping:run_100k",
}
"""Benchmark name -> function (effort) yielding comparisons."""
