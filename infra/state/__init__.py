"""The state folder: where it lies, whose it is, and who works in it."""
