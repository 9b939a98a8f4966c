"""From raw text to a release and its tokens."""
