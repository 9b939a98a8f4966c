"""Token shards: reading them, and the batches that training sees."""
