"""Labels by the WHATWG table, what overrules them, and bytes that are no text in any of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.spark_jobs.reading.text_encoding import (
    CONTRADICTED,
    DAMAGED,
    Decoded,
    decode,
    decode_as,
    find,
    prescan,
)

ZH = "朱镕基在长江边说，这条河流经许多城市，农民们在秋天把粮食运到这里，等待渡船过河。"
TW = "河水在老磨坊以南拐了個彎，公路沿著河岸走三里才到橋頭，農人在秋天把糧食運來。"
FR = "Le café fermé près de la forêt a été rénové à côté du château, où l’été dernier on dînait."


@pytest.mark.parametrize(
    ("label", "encoding"),
    [
        ("gb2312", "gbk"),
        ("GBK", "gbk"),
        ("gb18030", "gb18030"),
        ("iso-8859-1", "windows-1252"),
        ("latin1", "windows-1252"),
        ("us-ascii", "windows-1252"),
        ("big5-hkscs", "big5"),
        (" UTF8\t", "utf-8"),
        ("x-sjis", "shift_jis"),
        ("ks_c_5601-1987", "euc-kr"),
        ("unicode", "utf-16le"),
        ("undefined", None),
        ("idna", None),
        ("punycode", None),
        ("hz-gb-2312", None),
        ("iso-2022-kr", None),
        ("", None),
        ("utf-8;", None),
    ],
)
def test_labels_follow_the_whatwg_table(label: str, encoding: str | None) -> None:
    assert find(label) == encoding


@pytest.mark.parametrize(
    ("label", "raw", "text"),
    [
        ("gb2312", ZH.encode("gb18030"), ZH),
        ("gb2312", b"\x80 100", "€ 100"),
        ("gbk", "𠀀喆囍".encode("gb18030"), "𠀀喆囍"),
        ("big5", "佢哋喺河邊啲屋企食飯，嗰度".encode("big5hkscs"), "佢哋喺河邊啲屋企食飯，嗰度"),
        ("iso-8859-1", b"\x93caf\xe9\x94 \x80", "“café” €"),
        ("shift_jis", "①髙﨑".encode("cp932"), "①髙﨑"),
        ("euc-kr", "뷁".encode("cp949"), "뷁"),
        ("utf-16", "river 河".encode("utf-16-le"), "river 河"),
        ("koi8-r", "река".encode("koi8-r"), "река"),
    ],
)
def test_what_labels_stand_for(label: str, raw: bytes, text: str) -> None:
    assert decode(raw, [label]).text == text
    assert decode(raw, [label]).repairs == 0


@pytest.mark.parametrize(
    ("raw", "labels", "expected"),
    [
        (b"\xef\xbb\xbf" + ZH.encode(), ["gbk"], Decoded(ZH, "utf-8", 0)),
        (b"\xff\xfe" + ZH.encode("utf-16-le"), ["utf-8"], Decoded(ZH, "utf-16le", 0)),
        (b"\xfe\xff" + ZH.encode("utf-16-be"), [], Decoded(ZH, "utf-16be", 0)),
        (ZH.encode("gb18030"), ["undefined", "gb2312"], Decoded(ZH, "gbk", 0)),
        (ZH.encode(), ["undefined"], Decoded(ZH, "utf-8", 0)),
        (ZH.encode("gb18030"), ["idna"], Decoded(ZH, "gb18030", 0)),
        (ZH.encode("gb18030"), [], Decoded(ZH, "gb18030", 0)),
        (TW.encode("big5hkscs"), [], Decoded(TW, "big5", 0)),
        (FR.encode("cp1252"), [], Decoded(FR, "windows-1252", 0)),
        ("river".encode("utf-16-le"), [], Decoded("river", "utf-16le", 0)),
        (b"", ["gbk"], Decoded("", "gbk", 0)),
    ],
)
def test_the_order_of_what_is_asked(raw: bytes, labels: list[str], expected: Decoded) -> None:
    assert decode(raw, labels) == expected


@pytest.mark.parametrize(
    ("raw", "label", "expected"),
    [
        (ZH.encode("gb18030"), "utf-8", Decoded(ZH, "gb18030", 0)),
        (ZH.encode(), "gb2312", Decoded(ZH, "utf-8", 0)),
        (FR.encode(), "iso-8859-1", Decoded(FR, "utf-8", 0)),
        (FR.encode("cp1252"), "utf-8", Decoded(FR, "windows-1252", 0)),
        (b"plain", "utf-16", Decoded("plain", "utf-8", 0)),
        ("é".encode(), "iso-8859-1", Decoded("Ã©", "windows-1252", 0)),  # too little to say so
    ],
)
def test_a_label_that_the_bytes_contradict(raw: bytes, label: str, expected: Decoded) -> None:
    assert decode(raw, [label]) == expected


@pytest.mark.parametrize("labels", [["utf-8"], ["gb2312"], []])
def test_one_bad_byte_is_one_repair(labels: list[str]) -> None:
    text = f"<p>{ZH * 3}</p>"
    raw = text.encode("gb18030" if labels == ["gb2312"] else "utf-8")
    at = raw.index(b"</p>")
    found = decode(raw[:at] + b"\xff" + raw[at:], labels)
    assert found.text == text.replace("</p>", "\ufffd</p>") and found.repairs == 1


def test_a_replacement_character_of_the_text_is_no_repair() -> None:
    assert decode("a \ufffd b".encode(), ["utf-8"]).repairs == 0
    assert decode("河 \ufffd".encode("gb18030"), ["gb18030"]).repairs == 0


def test_bounds_of_the_evidence() -> None:
    """What the two shares stand between."""

    def share(raw: bytes, encoding: str) -> float:
        return decode_as(raw, encoding).repairs / sum(byte > 0x7F for byte in raw)

    for raw in (ZH.encode("gb18030"), TW.encode("big5hkscs"), FR.encode("cp1252")):
        assert share(raw, "utf-8") > 2 * CONTRADICTED
    damaged = bytearray((ZH * 20).encode())
    damaged[7::97] = b"\xff" * len(damaged[7::97])  # one byte of a hundred
    assert share(bytes(damaged), "utf-8") < DAMAGED


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        (b"<META Charset = 'GBK' >", "gbk"),
        (b"<meta http-equiv=content-type content='text/html; charset=big5'>", "big5"),
        (b'<meta content="text/html;charset=gb2312" http-equiv="Content-Type"/>', "gbk"),
        (b"<html><head><title>x</title><meta charset=koi8-r>", "koi8-r"),
        (b"<meta charset=utf-16>", "utf-8"),
        (b"<meta charset=x-user-defined>", "windows-1252"),
        (b"<meta charset=nonsense><meta charset=gbk>", "gbk"),
        (b'<?xml version="1.0" encoding="EUC-JP"?><html>', "euc-jp"),
        (b"<p>write charset=gbk or <code>charset=big5</code></p>", None),
        (b"<meta name=keywords content='charset=gbk'>", None),
        (b"<!-- <meta charset=gbk> -->", None),
        (b"<script>'<meta charset=gbk>'</script>", None),
        (b"<title><meta charset=gbk></title>", None),
        (b"<a title='<meta charset=gbk>'>", None),
        (b"</meta charset=gbk>", None),
        (b"<metadata charset=gbk>", None),
        (b"<meta charset=", None),
        (b"<meta charset='gbk", None),
        (b"<!-- <meta charset=gbk>", None),
        (b"< meta charset=gbk>", None),
    ],
)
def test_only_a_declaration_declares(head: bytes, encoding: str | None) -> None:
    assert prescan(head) == encoding


def test_a_declaration_counts_in_the_first_1024_bytes_and_after_the_label() -> None:
    meta = b"<meta charset=gb2312>"
    page = f"<p>{ZH}</p>".encode("gb18030")
    assert decode(meta + page, [], markup=True).encoding == "gbk"
    assert decode(meta + page, ["gb18030"], markup=True).encoding == "gb18030"
    assert decode(meta + page, []).encoding == "gb18030"  # found by its bytes
    late = b" " * 1024 + b"<meta charset=koi8-r>" + page
    assert decode(late, [], markup=True).encoding == "gb18030"


@given(st.binary(max_size=300), st.lists(st.text(max_size=12), max_size=3), st.booleans())
def test_every_sequence_of_bytes_is_a_text(raw: bytes, labels: list[str], markup: bool) -> None:
    found = decode(raw, labels, markup)
    assert found == decode(raw, labels, markup)
    assert found.repairs >= 0 and found.text.encode("utf-8", "replace") is not None


@given(st.binary(max_size=200), st.sampled_from(["gbk", "big5", "shift_jis", "euc-kr", "utf-16",
       "windows-1252", "windows-874", "iso-2022-jp", "x-user-defined", "utf-8"]))  # fmt: skip
def test_every_encoding_counts_what_it_replaces(raw: bytes, label: str) -> None:
    encoding = find(label)
    assert encoding is not None
    found = decode_as(raw, encoding)
    assert found.text.count("\ufffd") >= found.repairs
