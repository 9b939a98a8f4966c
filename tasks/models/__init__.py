"""Training in the chain: the stages, and which export a user means."""
