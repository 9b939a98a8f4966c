"""Token shards of one tokenize run: rows of token ids with the places where documents begin.

A folder holds `manifest.json`, `tokenizer/`, `train/*.parquet` and `heldout/*.parquet`; a row has
`input_ids` (always sequence_length of them) and `document_starts` (positions in the row).
"""

from __future__ import annotations

import bisect
import hashlib
import io
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from headrace.infra import storage
from headrace.infra.errors import InputError, ValidationError
from headrace.infra.special_tokens import END_OF_TEXT
from headrace.training.data.columns import lists

Tokens = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Rows:
    """Some rows: `ids` (N, T) int32, and of each row where documents begin."""

    ids: Tokens
    starts: list[Tokens]


class ShardFile(TypedDict):
    """A file of shards, as manifest.json has it."""

    path: str
    rows: int
    sha256: str


class Split:
    """The rows of `train` or `heldout`, in the order of the manifest; read file by file."""

    def __init__(self, folder: str, files: list[ShardFile], length: int) -> None:
        self.folder, self.files, self.length = folder, files, length
        ends = np.cumsum([0, *(f["rows"] for f in files)])
        self._begins = [int(x) for x in ends[:-1]]
        self.rows = int(ends[-1])
        self._file = lru_cache(maxsize=2)(self._read)

    @property
    def tokens(self) -> int:
        """Tokens in all rows."""
        return self.rows * self.length

    def _read(self, number: int) -> Rows:
        file = self.files[number]
        where = storage.join(self.folder, file["path"])
        data = storage.read_bytes(where)
        if hashlib.sha256(data).hexdigest() != file["sha256"]:
            raise InputError(f"{where}: differs from its manifest", "run `headrace tokenize` again")
        table = pq.read_table(io.BytesIO(data), columns=["input_ids", "document_starts"])
        flat, _ = lists(table, "input_ids")
        if len(flat) != len(table) * self.length:
            raise InputError(
                f"{where}: rows are not all of {self.length} tokens", "run `headrace tokenize`"
            )
        values, offsets = lists(table, "document_starts")
        return Rows(
            flat.reshape(len(table), self.length),
            [values[a:b] for a, b in pairwise(offsets)],
        )

    def take(self, start: int, count: int) -> Rows:
        """`count` rows from number `start` on, wrapping round at the end.

        Raises:
            InputError: a file is missing or differs from the manifest.
        """
        ids, starts = [], []
        for row in range(start, start + count):
            number = bisect.bisect_right(self._begins, row % self.rows) - 1
            part, at = self._file(number), row % self.rows - self._begins[number]
            ids.append(part.ids[at])
            starts.append(part.starts[at])
        return Rows(np.stack(ids), starts)


class Shards:
    """A tokenize run's output, opened by its manifest.

    Raises:
        InputError: no manifest is there, or it misses a key.
    """

    def __init__(self, folder: str) -> None:
        self.folder = storage.display(folder)
        where = storage.join(folder, "manifest.json")
        if not storage.exists(where):
            raise InputError(
                f"{self.folder}: no manifest.json, so no finished token shards",
                "give the --output folder of `headrace tokenize`",
            )
        try:
            self.manifest: dict[str, Any] = storage.read_json(where)
            self.vocabulary = int(self.manifest["vocabulary"])
            self.length = int(self.manifest["sequence_length"])
            files: list[ShardFile] = sorted(self.manifest["files"], key=lambda f: str(f["path"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{where}: {type(error).__name__}: {error}", "run `headrace tokenize` again"
            ) from None

        def of(name: str) -> Split:
            chosen = [f for f in files if str(f["path"]).startswith(f"{name}/")]
            return Split(self.folder, chosen, self.length)

        self.train, self.heldout = of("train"), of("heldout")

    @property
    def tokenizer(self) -> str:
        """Folder of the tokenizer's files."""
        return storage.join(self.folder, "tokenizer")

    @property
    def marks(self) -> list[int]:
        """Ids of the special tokens that no text holds: all but `<|endoftext|>`."""
        special: dict[str, int] = self.manifest.get("special", {})
        return sorted(i for token, i in special.items() if token != END_OF_TEXT)

    @cached_property
    def heldout_bytes_per_token(self) -> float | None:
        """Text bytes that a held-out token stands for, None where the manifest doesn't say."""
        size = self.manifest.get("bytes")
        size = size.get("heldout") if isinstance(size, dict) else None
        return size / self.heldout.tokens if size and self.heldout.tokens else None

    def require(self, rows: int) -> None:
        """Check that a batch of `rows` sequences can be had.

        Raises:
            ValidationError: there is too little text; says how much is needed.
        """
        if self.train.rows < rows:
            raise ValidationError(
                f"too little text: {self.train.tokens:,} training tokens, and one batch takes "
                f"{rows} sequences of {self.length}, {rows * self.length:,} tokens",
                "curate and tokenize more text, or set fewer rows (in `run`: pretrain.rows)",
            )
