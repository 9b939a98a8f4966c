"""Files that are no text, by the bytes they begin with, and what to do with each kind.

Our own table: libraries for this (puremagic 1.30 was tried) name a plain zip archive a Word
document and zeros an embroidery design, and don't know Arrow, ORC and Avro. Only signatures of at
least two bytes that no text begins with are here; words that a text may begin with (GIF89a, say)
count where a NUL follows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """A binary format."""

    name: str
    """With its article, as a sentence has it."""
    remedy: str
    packed: bool = False
    """Whether it is compressed: its text would be larger than the file."""

    def __str__(self) -> str:
        return f"{self.name}: {self.remedy}"


_UNPACK = "unpack it, or compress it with gzip or zstd"
_TAKE_OUT = "unpack it"
_EXTRACT = "extract its text first"
_EXPORT = "export it as Parquet or JSON Lines"
_NOTHING = "it holds no text"


def _packed(name: str, remedy: str = _UNPACK) -> Format:
    return Format(name, remedy, True)


_SQUASHED = _packed("a bzip2-compressed file")
_ZIP = _packed("a zip archive", _TAKE_OUT)
_TAR = Format("a tar archive", _TAKE_OUT)
_AT_START: tuple[tuple[bytes, Format], ...] = (
    (b"\xfd7zXZ\x00", _packed("an xz-compressed file")),
    (b"\x5d\x00\x00", _packed("an lzma-compressed file")),
    (b"\x04\x22\x4d\x18", _packed("an LZ4-compressed file")),
    (b"\xff\x06\x00\x00sNaPpY", _packed("a Snappy-compressed file")),
    (b"LZIP\x01", _packed("an lzip-compressed file")),
    (b"\x89LZO\x00", _packed("an LZO-compressed file")),
    (b"\x1f\x9d", _packed("a file compressed with compress (.Z)")),
    (b"7z\xbc\xaf\x27\x1c", _packed("a 7-Zip archive", _TAKE_OUT)),
    (b"Rar!\x1a\x07", _packed("a RAR archive", _TAKE_OUT)),
    (b"!<arch>\n", Format("an ar archive", _TAKE_OUT)),
    (b"MSCF\x00\x00", _packed("a cabinet archive", _TAKE_OUT)),
    (b"PK\x05\x06", Format("an empty zip archive", _NOTHING)),
    (b"%PDF-", Format("a PDF document", _EXTRACT)),
    (b"{\\rtf", Format("an RTF document", _EXTRACT)),
    (b"%!PS", Format("a PostScript document", _EXTRACT)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Format("an old Microsoft Office document", _EXTRACT)),
    (b"SQLite format 3\x00", Format("an SQLite database", _EXPORT)),
    (b"Obj\x01", Format("an Avro file", _EXPORT)),
    (b"\x89HDF\r\n\x1a\n", Format("an HDF5 file", _EXPORT)),
    (b"\x93NUMPY", Format("a NumPy array", _EXPORT)),
    (b"\x80\x02", Format("a Python pickle", _EXPORT)),
    (b"\x80\x03", Format("a Python pickle", _EXPORT)),
    (b"\x80\x04\x95", Format("a Python pickle", _EXPORT)),
    (b"\x80\x05\x95", Format("a Python pickle", _EXPORT)),
    (b"filedesc:/", Format("an ARC web archive", "convert it to WARC: `warcio recompress`")),
    (b"\x89PNG\r\n\x1a\n", Format("a PNG image", _NOTHING)),
    (b"\xff\xd8\xff", Format("a JPEG image", _NOTHING)),
    (b"II*\x00", Format("a TIFF image", _NOTHING)),
    (b"MM\x00*", Format("a TIFF image", _NOTHING)),
    (b"\x00\x00\x01\x00", Format("an icon", _NOTHING)),
    (b"ID3\x02", Format("an MP3 recording", _NOTHING)),
    (b"ID3\x03", Format("an MP3 recording", _NOTHING)),
    (b"ID3\x04", Format("an MP3 recording", _NOTHING)),
    (b"OggS\x00", Format("an Ogg recording", _NOTHING)),
    (b"fLaC\x00", Format("a FLAC recording", _NOTHING)),
    (b"\x1aE\xdf\xa3", Format("a Matroska or WebM video", _NOTHING)),
    (b"\x00\x00\x01\xba", Format("an MPEG video", _NOTHING)),
    (b"FLV\x01", Format("a Flash video", _NOTHING)),
    (b"\x7fELF", Format("a program (ELF)", _NOTHING)),
    (b"\xca\xfe\xba\xbe", Format("a Java class or macOS program", _NOTHING)),
    (b"\xcf\xfa\xed\xfe", Format("a macOS program", _NOTHING)),
    (b"\x00asm", Format("a WebAssembly program", _NOTHING)),
    (b"\x00\x01\x00\x00", Format("a font or a database", _NOTHING)),
    (b"OTTO\x00", Format("a font", _NOTHING)),
)
_WORDS: tuple[tuple[bytes, Format], ...] = (
    (b"ORC", Format("an ORC file", _EXPORT)),
    (b"ARROW1", Format("an Arrow file", _EXPORT)),
    (b"FEA1", Format("a Feather file", _EXPORT)),
    (b"PARE", Format("an encrypted Parquet file", "write it without encryption")),
    (b"AT&TFORM", Format("a DjVu document", _EXTRACT)),
    (b"GIF87a", Format("a GIF image", _NOTHING)),
    (b"GIF89a", Format("a GIF image", _NOTHING)),
    (b"8BPS", Format("a Photoshop image", _NOTHING)),
    (b"wOF2", Format("a font", _NOTHING)),
    (b"wOFF", Format("a font", _NOTHING)),
)
"""Signatures that are words: a NUL among the next bytes confirms them."""
_IN_ZIP = (
    (b"word/", Format("a Word document (.docx)", _EXTRACT, True)),
    (b"xl/", Format("an Excel workbook (.xlsx)", _EXPORT, True)),
    (b"ppt/", Format("a PowerPoint presentation (.pptx)", _EXTRACT, True)),
    (b"application/epub+zip", Format("an EPUB book", _EXTRACT, True)),
    (b"application/vnd.oasis.opendocument", Format("an OpenDocument file", _EXTRACT, True)),
    (b"META-INF/MANIFEST.MF", Format("a Java archive", _NOTHING, True)),
    (b".npy", Format("a NumPy archive (.npz)", _EXPORT, True)),
    (b"data.pkl", Format("a PyTorch checkpoint", _NOTHING, True)),
)
_IN_RIFF = {
    b"WAVE": Format("a WAVE recording", _NOTHING),
    b"AVI ": Format("an AVI video", _NOTHING),
    b"WEBP": Format("a WebP image", _NOTHING),
}
_BZIP2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
"""What follows `BZh` and a digit in a bzip2 stream: a block or its end."""


def binary(head: bytes) -> Format | None:
    """Return the format that a file's first bytes show, None where they show none of these.

    What headrace reads (gzip, zstd, Parquet, WARC) is not here.
    """
    for start, found in (*_AT_START, *(_WORDS if b"\0" in head[:1024] else ())):
        if head.startswith(start):
            return found
    if head[:3] == b"BZh" and head[4:10] in _BZIP2_BLOCKS:
        return _SQUASHED
    if head[:4] == b"PK\x03\x04":
        return next((f for inside, f in _IN_ZIP if inside in head[:8192]), _ZIP)
    if head[:4] == b"RIFF":
        return _IN_RIFF.get(head[8:12])
    if head[257:262] == b"ustar":
        return _TAR
    if head[4:8] == b"ftyp" and head[:1] == b"\x00":
        return Format("an MP4 video or HEIF image", _NOTHING)
    if head[:4] == b"\xff\xff\xff\xff" and head[6:8] == b"\0\0":
        return Format("an Arrow stream", _EXPORT)
    if head[:2] == b"MZ" and b"\x00" in head[:64]:
        return Format("a Windows program", _NOTHING)
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return Format("a BMP image", _NOTHING)
    return None
