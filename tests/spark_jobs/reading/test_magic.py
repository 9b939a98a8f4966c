import bz2
import io
import lzma
import sqlite3
import struct
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather, orc

from headrace.spark_jobs.reading.magic import binary


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, "text")
    return out.getvalue()


def tarred() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    return out.getvalue()


def arrow(write: object) -> bytes:
    out = pa.BufferOutputStream()
    write(pa.table({"text": ["a"]}), out)  # type: ignore[operator]
    return out.getvalue().to_pybytes()


def stream(table: pa.Table, out: pa.NativeFile) -> None:
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)


def database(folder: Path) -> bytes:
    with sqlite3.connect(folder / "a.db") as made:
        made.execute("CREATE TABLE a (text TEXT)")
    return (folder / "a.db").read_bytes()


def test_a_file_is_called_what_it_is(tmp_path: Path) -> None:
    """Files as their own libraries write them."""
    for data, name in [
        (bz2.compress(b"text"), "a bzip2-compressed file"),
        (bz2.compress(b""), "a bzip2-compressed file"),
        (lzma.compress(b"text"), "an xz-compressed file"),
        (zipped("a.txt"), "a zip archive"),
        (zipped("[Content_Types].xml", "word/document.xml"), "a Word document (.docx)"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook (.xlsx)"),
        (zipped("mimetype", "META-INF/MANIFEST.MF"), "a Java archive"),
        (tarred(), "a tar archive"),
        (database(tmp_path), "an SQLite database"),
        (arrow(feather.write_feather), "an Arrow file"),
        (arrow(orc.write_table), "an ORC file"),
        (arrow(stream), "an Arrow stream"),
        (Path("/bin/sh").read_bytes()[:4096], "a program (ELF)"),
    ]:
        found = binary(data)
        assert found is not None and found.name == name and found.remedy


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"7z\xbc\xaf\x27\x1c\0\4", "a 7-Zip archive"),
        (b"Rar!\x1a\x07\x01\0", "a RAR archive"),
        (b"%PDF-1.7\n%\xe2\xe3\n", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "a JPEG image"),
        (b"GIF89a\1\0\1\0\0", "a GIF image"),
        (b"RIFF" + struct.pack("<I", 99) + b"WEBPVP8 ", "a WebP image"),
        (b"\0\0\0\x18ftypmp42", "an MP4 video or HEIF image"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Microsoft Office document"),
        (b"PARE\0\1", "an encrypted Parquet file"),
        (b"\x80\x04\x95\x10\0", "a Python pickle"),
    ],
)
def test_signatures(head: bytes, name: str) -> None:
    found = binary(head)
    assert found is not None and found.name == name


@given(
    st.sampled_from(
        ["PARENTS", "GIF89a is", "MZ", "BM", "RIFF", "ORC", "Obj", "Rar", "PK", "BZh9"]
    ),
    st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=80),
)
def test_text_is_no_binary_format(start: str, rest: str) -> None:
    assert binary(f"{start} {rest}".encode()) is None


@given(st.text(st.characters(min_codepoint=32), min_size=1, max_size=80))
def test_chinese_and_other_text_is_none_in_its_old_encodings(text: str) -> None:
    for encoding in ("utf-8", "gb18030"):
        if not text.startswith(("%PDF-", "%!PS", "{\\rtf")):
            assert binary(text.encode(encoding)) is None
