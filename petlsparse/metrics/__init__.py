"""Metrics of an evaluation: one file, one line in `METRICS` and one in `tracking.tables.MEASURES` each."""

METRICS = {
    "accuracy": "petlsparse.metrics.accuracy:ACCURACY",
    "macro_f1": "petlsparse.metrics.macro_f1:MACRO_F1",
}
"""Metric name, as in columns -> its `metrics.metric.Metric`."""
