"""Executing a plan on one machine.

`plan` opens a `session`, which decides what is to do and what is done together; `dispatch` hands it to workers and
deals with how they end, `job` is what is handed over, `crew` owns the workers, `processes` is how theirs are born,
`worker` what happens inside one, `devices` says where they work, `interruption` how they are stopped, `cache` what they
share, `log` what is written down about each run, `events` what is told about it all.
"""
