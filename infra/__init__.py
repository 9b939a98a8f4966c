"""WHERE IT RUNS: settings, storage, lineage, sessions, stores; imports nothing of headrace."""
