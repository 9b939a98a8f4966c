"""The steps of a curation: inventory, scan, deduplication, release."""
