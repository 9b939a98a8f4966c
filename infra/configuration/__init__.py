"""Settings as frozen models, read strictly from YAML, JSON and the command line."""
