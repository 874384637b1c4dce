"""Executing a plan.

`plan` opens a `session`, which decides what is to do and what is done together; `dispatch` hands it to a `launcher` and
deals with how it ends. `local` (worker processes on this machine) and `in_process` are launchers; `job` is what is
handed over, `messages` how, `serve` the program of a worker process, `worker` what it does with a job. `devices` says
where workers work, `interruption` how they are stopped, `cache` what they share, `log` what is written down about each
run, `events` what is told about it all.
"""
