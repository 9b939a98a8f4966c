"""Addresses, ports, passwords and what stands between a server and its callers."""
