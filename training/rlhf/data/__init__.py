"""Prompts, pairs and preferences derived from a release."""
