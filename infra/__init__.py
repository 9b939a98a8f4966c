"""WHERE IT RUNS: settings, storage, lineage, sessions and stores; imports nothing else of headrace."""
