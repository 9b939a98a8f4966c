"""Real text that pinned PyPI packages ship, one file a package."""
