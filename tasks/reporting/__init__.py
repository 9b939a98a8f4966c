"""Pages, notices and figures about the work for the people who watch it."""
