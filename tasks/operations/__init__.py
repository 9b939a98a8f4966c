"""Looking after a state folder: status, backup, restore, garbage."""
