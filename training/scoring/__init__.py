"""Measuring models: negative log-likelihood, baselines, gate statistics."""
