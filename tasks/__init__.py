"""WHAT RUNS ONCE: Prefect tasks; config in, one call of a layer below, result and lineage out."""
