"""The tokenizer is the same for the same texts, lossless, and blind to special tokens in a text."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.infra.errors import InputError
from headrace.infra.special_tokens import END_OF_TEXT, PAD, SPECIAL
from headrace.spark_jobs.tokens import tokenizer as bpe

TEXTS = ["the cat sat on the mat, the cat sat.\n" * 20, "今天天气很好，明天也很好。" * 20]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("tokenizer"))
    bpe.save(bpe.train(TEXTS, 320), path)
    return path


def test_same_texts_same_file(folder: str, tmp_path: Path) -> None:
    bpe.save(bpe.train(TEXTS, 320), str(tmp_path))
    for name in bpe.FILES:
        assert (tmp_path / name).read_bytes() == (Path(folder) / name).read_bytes()


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_comes_back(folder: str, text: str) -> None:
    tokenizer = bpe.load(folder)
    ids = bpe.encode(tokenizer, [text])[0]
    assert ids[0] == tokenizer.token_to_id(END_OF_TEXT)
    assert tokenizer.decode(ids.tolist()[1:], skip_special_tokens=False) == text
    assert bpe.byte_lengths(tokenizer)[ids].sum() == len(text.encode())


def test_special_tokens_in_a_text_are_text(folder: str) -> None:
    tokenizer = bpe.load(folder)
    ids = bpe.encode(tokenizer, [f"a{END_OF_TEXT}b<|user|>"])[0]
    assert (ids[1:] >= len(SPECIAL)).all()


def test_long_text_in_pieces(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, text = bpe.load(folder), TEXTS[0] + "x" * 50
    whole = bpe.encode(tokenizer, [text])[0]
    monkeypatch.setattr(bpe, "_PIECE", 40)
    pieces = bpe.encode(tokenizer, [text, "", text])
    assert pieces[1].tolist() == whole[:1].tolist()
    assert pieces[0].tolist() == pieces[2].tolist()
    assert tokenizer.decode(pieces[0].tolist()[1:]) == text


def test_transformers_reads_it(folder: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("the cat").input_ids == bpe.encode(bpe.load(folder), ["the cat"])[0].tolist()
    assert (tokenizer.bos_token, tokenizer.eos_token) == (END_OF_TEXT, END_OF_TEXT)
    assert tokenizer.pad_token == PAD


def test_no_tokenizer_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        bpe.load(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match="tokenizer"):
        bpe.load(str(tmp_path))
