"""Suites of expectations, one a file: each function gives the expectations on one frame."""
