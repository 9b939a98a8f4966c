"""What happens beside the steps of a training: one behavior, one file."""
