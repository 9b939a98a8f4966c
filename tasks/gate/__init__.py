"""Evidence, decision and promotion of a model."""
