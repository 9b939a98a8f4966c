"""Spark sessions, clusters and the code that executors get."""
