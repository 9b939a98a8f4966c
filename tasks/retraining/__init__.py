"""From an alert on windows of new text to a round of retraining."""
