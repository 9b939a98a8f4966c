"""headrace: a corpus in, a model in production out, and the way back round through drift."""
