"""Fitting of the weights that levels are shipped with: one module a level, run by hand."""
