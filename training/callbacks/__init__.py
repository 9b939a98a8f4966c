"""One behaviour of the training loop a file."""
