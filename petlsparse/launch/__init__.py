"""Executing a plan on one machine.

`plan` decides what is to do, `dispatch` hands it to workers and deals with how they end, `crew` owns the worker
processes, `worker` is what happens inside one, `devices` says where they work, `interruption` how they are stopped,
`events` what is told about it all.
"""
