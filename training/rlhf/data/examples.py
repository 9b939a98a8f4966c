"""Alignment data from files: JSON Lines or Parquet, checked, split into training and held-out.

Give a file, or a folder: there, files named `heldout.*` are the held-out part. Where none is named
so, a share of the prompts is held out by hash, the same one whenever and wherever it is asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.infra import storage
from headrace.infra.errors import InputError, ValidationError
from headrace.infra.files import walk
from headrace.infra.files.companions import why_none
from headrace.infra.files.unpack import BLOCK, DamagedError, codec_of, unpacked

KIND = "kind"
"""An optional column of preferences: how the rejected answer is worse; accuracy is given by it."""
FORMATS = "a .jsonl, .jsonl.gz, .jsonl.zst or .parquet file, or a folder of them"

Row = dict[str, str]


@dataclass(frozen=True)
class Examples:
    """The two parts of one data set; a row has the columns of its stage, all of them text."""

    train: list[Row]
    heldout: list[Row]


def _lines(uri: str) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers and lines of a file, compressed or not, one in memory at a time.

    Blank lines may be left out.

    Raises:
        InputError: a line is too long, the file is damaged, or it is a decompression bomb.
    """
    number, size = 1, 0
    line = bytearray()

    def refuse(why: str, hint: str) -> InputError:
        return InputError(f"{uri}, line {number}: {why}", hint)

    with storage.open_input(uri) as f:
        allowed = _allowed(f.size())
        codec = codec_of(f.read(4))
        f.seek(0)
        blocks = unpacked(f, codec) if codec else iter(lambda: bytes(f.read(BLOCK)), b"")
        try:
            for block in blocks:
                size += len(block)
                if size > allowed:
                    raise refuse(f"unpacks to more than {allowed:,} bytes", _BOMB)
                if not line and block.isspace():
                    number += block.count(b"\n")
                    continue
                begin = 0
                while (end := block.find(b"\n", begin)) >= 0:
                    line += block[begin:end]
                    if len(line) > RECORD_BYTES:
                        raise refuse(_LONG, "leave it out")
                    yield number, bytes(line)
                    line.clear()
                    number, begin = number + 1, end + 1
                line += block[begin:]
                if len(line) > RECORD_BYTES:
                    raise refuse(_LONG, "leave it out")
        except DamagedError as damage:
            raise refuse(str(damage), "compress the file again") from None
    yield number, bytes(line)


RECORD_BYTES = 16 << 20
"""The longest line or row."""
EXPANSION = 200
"""How many times its size a file may unpack to; text shrinks to a tenth, seldom to a fiftieth."""
FREE_BYTES = 64 << 20
"""What any file may unpack to."""
_LONG = f"longer than {RECORD_BYTES >> 20} MiB"
_BOMB = f"that is more than {EXPANSION} times its size: no text is so repetitive"


def _allowed(size: int) -> int:
    """Return the bytes that a file of this size may unpack to."""
    return max(FREE_BYTES, EXPANSION * size)


def _json_lines(uri: str) -> Iterator[tuple[str, Any]]:
    for number, line in _lines(uri):
        if line.strip():
            where = f"{uri}, line {number}"
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError):
                raise InputError(
                    f"{where}: not JSON in UTF-8: {line[:60]!r}", "write one JSON object per line"
                ) from None


def _parquet(uri: str, columns: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield a Parquet file's rows; equal values are held once, so that a few bytes stay a few."""
    number = size = 0
    try:
        with storage.open_input(uri) as f:
            allowed = _allowed(f.size())
            names = pq.read_schema(f).names
            wanted = [c for c in (*columns, KIND) if c in names]
            if twice := [c for c in wanted if names.count(c) > 1]:
                raise InputError(f"{uri}: two columns are called `{twice[0]}`", "rename one")
            file = pq.ParquetFile(f, read_dictionary=wanted)
            for batch in file.iter_batches(_ROWS, columns=wanted, use_threads=False):
                for k in range(batch.num_rows):
                    number += 1
                    row = {c: batch[c][k].as_py() for c in wanted}
                    length = sum(len(v) for v in row.values() if isinstance(v, str | bytes))
                    size += length
                    if length > RECORD_BYTES or size > allowed:
                        why = (
                            _LONG if length > RECORD_BYTES else f"more than {allowed:,} characters"
                        )
                        raise InputError(f"{uri}, row {number}: {why}", _BOMB)
                    yield f"{uri}, row {number}", row
    except (pa.ArrowException, OSError) as e:
        first = (str(e).splitlines() or ["unreadable"])[0]
        raise InputError(f"{uri}: not Parquet: {first}", f"give {FORMATS}") from None


_ROWS = 64


def _checked(where: str, row: object, columns: Sequence[str]) -> Row:
    if not isinstance(row, dict):
        raise InputError(f"{where}: not a JSON object", "write one JSON object per line")
    for column in columns:
        if column not in row:
            found = ", ".join(map(str, list(row)[:8])) or "nothing"
            raise ValidationError(
                f"{where}: no `{column}` (found: {found})",
                f"this stage needs the columns {', '.join(columns)}",
            )
        value = row[column]
        if not isinstance(value, str) or not value.strip():
            raise ValidationError(
                f"{where}: `{column}` is {'blank' if value == '' else repr(value)[:60]}",
                "give text in every column",
            )
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValidationError(
                f"{where}: `{column}` holds half a surrogate pair", "write the file as UTF-8"
            ) from None
    if "rejected" in columns and row["chosen"] == row["rejected"]:
        raise ValidationError(
            f"{where}: `chosen` and `rejected` are the same", "leave the pair out"
        )
    kind = row.get(KIND)
    return {c: row[c] for c in columns} | ({KIND: kind} if isinstance(kind, str) else {})


def _rows(uri: str, columns: Sequence[str]) -> list[Row]:
    name = uri.lower()
    if name.endswith((".jsonl", ".jsonl.gz", ".jsonl.zst")):
        found = _json_lines(uri)
    elif name.endswith(".parquet"):
        found = _parquet(uri, columns)
    else:
        raise InputError(f"{uri}: neither JSON Lines nor Parquet by its name", f"give {FORMATS}")
    return [_checked(where, row, columns) for where, row in found]


def _beside(uri: str) -> bool:
    """Whether a file of a folder only accompanies its data."""
    return uri.lower().endswith((".json", ".md", ".html")) or bool(why_none(uri.rpartition("/")[2]))


def is_heldout(prompt: str, share: float) -> bool:
    """Whether a prompt belongs to the `share` that is held out: a matter of its hash alone."""
    h = hashlib.blake2b(prompt.encode(), digest_size=8).digest()
    return int.from_bytes(h, "big") < share * 2.0**64


def read(uri: str, columns: Sequence[str], share: float, least: int) -> Examples:
    """Read the rows of a file or folder, in order, split into training and held-out ones.

    Args:
        uri: a file or folder.
        columns: those that the stage needs; others are left unread.
        share: of the prompts to hold out, where no file is named `heldout.*`.
        least: fewest rows of either part.

    Raises:
        InputError: nothing there, an unknown format, or a line that can't be read.
        ValidationError: a row lacks a column or text in it, or a part has too few rows.
    """
    files = [f for f in walk.list_files(uri) if f == storage.display(uri) or not _beside(f)]
    apart = [f for f in files if PurePosixPath(f).name.split(".")[0] == "heldout"]
    rows = [r for f in files if f not in apart for r in _rows(f, columns)]
    if apart:
        found = Examples(rows, [r for f in apart for r in _rows(f, columns)])
    else:
        marks = [is_heldout(r["prompt"], share) for r in rows]
        found = Examples(
            [r for r, held in zip(rows, marks, strict=True) if not held],
            [r for r, held in zip(rows, marks, strict=True) if held],
        )
    for name, part in (("training", found.train), ("held-out", found.heldout)):
        if len(part) < least:
            raise ValidationError(
                f"{storage.display(uri)}: {len(part)} {name} rows, too few",
                f"at least {least} are needed"
                + ("" if apart else f"; a {share:.0%} share of the prompts is held out"),
            )
    return found
