"""The special tokens of every tokenizer that headrace trains, and of its chat format."""

from __future__ import annotations

END_OF_TEXT = "<|endoftext|>"
"""The token before each document."""
USER, ASSISTANT, END = "<|user|>", "<|assistant|>", "<|end|>"
"""Marks of the chat format: a turn of either side begins, an answer ends."""
PAD = "<|pad|>"
SPECIAL = (END_OF_TEXT, USER, ASSISTANT, END, PAD)
"""All of them; their ids are 0 to 4 in this order."""
