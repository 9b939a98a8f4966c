"""Model versions, the decisions on them and the audit file."""
