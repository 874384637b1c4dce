"""The shared logging core: atomic files, one record per run, the store that holds them, and the tables made from it.

`store` is the truth on disk, `record` one run of it, `parts` its bulk rows, `tables` the documented schemas,
`compaction` turns records into parquet and reads it back, `equality` compares two stores, `provenance` says where a
number came from, `progress` how far a run is, `lock` who is writing.
"""
