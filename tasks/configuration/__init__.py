"""Settings of every verb: defaults, kept values and the list of them."""
