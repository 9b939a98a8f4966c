"""The tokenizer and the packed token shards of a release."""
