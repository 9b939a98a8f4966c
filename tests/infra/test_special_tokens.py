"""One spelling of the special tokens: models on disk have them under these ids."""

from headrace.infra.special_tokens import SPECIAL


def test_the_order_that_finished_tokenizers_have() -> None:
    assert SPECIAL == ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>")
