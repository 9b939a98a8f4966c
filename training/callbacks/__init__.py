"""What happens beside the steps of a training: one behaviour, one file."""
