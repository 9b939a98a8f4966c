"""The fields that records have, for the message to a user whose records have no text."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from headrace.infra import storage
from headrace.infra.files.unpack import DamagedError
from headrace.spark_jobs.inputs import Chunk, InputFile
from headrace.spark_jobs.reading import parquet_footer, parquet_reader
from headrace.spark_jobs.reading.reader import content_of
from headrace.spark_jobs.settings import InputSettings

FILES, RECORDS = 8, 100
"""So many files are looked into, and so many records of each."""
_BYTES = 1 << 20
_PLAIN = re.compile(r"(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z][\w.-]*", re.IGNORECASE)
"""Names that YAML takes for text without quotes."""


@dataclass
class Field:
    """A field of the first records."""

    name: str
    records: int = 0
    """How many of the records looked at have it."""
    characters: int = 0
    """Of text in it; of columns bytes."""


def fields_of(files: Sequence[InputFile]) -> list[Field]:
    """Fields of the first records of the first files, the most common first."""
    found: dict[str, Field] = {}
    readable = [f for f in files if f.kind in _RECORDS and f.bytes and not f.error]
    for file in readable[:FILES]:
        for name, records, characters in _RECORDS[file.kind](file):
            one = found.setdefault(name, Field(name))
            one.records += records
            one.characters += characters
    return sorted(found.values(), key=lambda f: (-f.records, f.name))


def suggestion(fields: Sequence[Field]) -> str:
    """Return the field with the most text, as YAML; a placeholder where none has any."""
    best = max(fields, key=lambda f: f.characters, default=None)
    if best is None or not best.characters:
        return "NAME"
    return best.name if _PLAIN.fullmatch(best.name) else json.dumps(best.name, ensure_ascii=False)


_Seen = tuple[str, int, int]
"""(Name, records, characters or bytes of text) of a field."""


def _of_lines(file: InputFile) -> Iterator[_Seen]:
    data = bytearray()
    with contextlib.suppress(DamagedError):
        for block in content_of(file, Chunk(0, 0, min(file.bytes, _BYTES), 1, 0)):
            data += block[:_BYTES]
            if len(data) >= _BYTES:
                break
    for line in io.BytesIO(data.removeprefix(b"\xef\xbb\xbf")).readlines()[:RECORDS]:
        with contextlib.suppress(ValueError, RecursionError):
            if isinstance(record := json.loads(line), dict):
                for name, value in record.items():
                    yield name, 1, len(value) if isinstance(value, str) else 0


def _of_columns(file: InputFile) -> Iterator[_Seen]:
    # Read as records are: what a damaged or hostile file could do is bounded there.
    with contextlib.suppress(OSError, pa.ArrowException, MemoryError):
        with storage.open_binary(file.uri) as f:
            names = parquet_footer.metadata(f).schema.to_arrow_schema().names
        first = next(parquet_reader.read(file, Chunk(0, 0, 1, 1, file.bytes), InputSettings()))
        seen = first.records.slice(0, RECORDS)
        texts = seen["text"].to_pylist()
        for metadata, text in zip(seen["metadata"].to_pylist(), texts, strict=True):
            record = {"text": text, **json.loads(metadata or "{}")}
            for name in names:
                value = record.get(name)
                yield name, 1, len(value) if isinstance(value, str) else 0


_RECORDS = {"lines": _of_lines, "array": _of_lines, "parquet": _of_columns}
