"""Fits the weights that levels ship with: one module per level, run by hand (the extra `fit`)."""
