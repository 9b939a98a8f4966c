"""What a command prints at its end, for a data engineer and an ML lead alike."""
