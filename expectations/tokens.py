"""Expectations on packed token shards: every row is looked at, a file at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from headrace.expectations import shards, validation
from headrace.expectations.shards import Shard
from headrace.expectations.stated import TokensManifest
from headrace.expectations.suites import files, token_rows, totals
from headrace.expectations.validation import Suite, ValidationResult
from headrace.infra import storage
from headrace.infra.errors import InputError
from headrace.infra.special_tokens import END_OF_TEXT

PARTS = ("train", "heldout")
COLUMNS = pa.schema(
    [("input_ids", pa.list_(pa.int32())), ("document_starts", pa.list_(pa.int32()))]
)
_MOST_LEAKED = 0.01
"""Largest share of held-out rows that may equal a row of the training part."""


def validate(folder: str, write: bool = True) -> ValidationResult:
    """Hold token shards against the expectations; the result goes into their `validation/`.

    Args:
        folder: what `headrace tokenize` made.
        write: whether `validation/` is written.

    Raises:
        InputError: there is no manifest.
    """
    uri = storage.join(folder, "manifest.json")
    if not storage.exists(uri):
        raise InputError(
            f"{storage.display(folder)}: no token shards (no manifest.json)",
            "give the folder that `headrace tokenize` printed as `output`",
        )
    manifest: TokensManifest = storage.read_json(uri)
    length, vocabulary = manifest["sequence_length"], manifest["vocabulary"]
    parts = {part: shards.shards(folder, part) for part in PARTS}
    every = [shard for some in parts.values() for shard in some]
    boundary = _boundary(folder)
    rows: list[dict[str, str | int | None]] = []
    hashes: dict[str, set[int]] = {part: set() for part in PARTS}
    for part, some in parts.items():
        for shard in some:
            for table in shards.read([shard], COLUMNS.names):
                rows.append({"path": shard.path, **_extremes(table, boundary)})
                hashes[part] |= _row_hashes(table, length)
    stated = {entry["path"]: entry for entry in manifest["files"]}
    shared = len(hashes["train"] & hashes["heldout"]) / max(1, len(hashes["heldout"]))
    suites = [
        Suite("totals", _counts(manifest, parts), totals.counts(), "what"),
        Suite(
            "shares",
            pd.DataFrame(
                [("held-out rows that were trained on", shared, -shared, shared - _MOST_LEAKED)],
                columns=["what", "share", "below", "above"],
            ),
            totals.shares(),
            "what",
        ),
        Suite(
            "files",
            shards.frame(every, [COLUMNS] * len(every), stated),
            files.expectations(True),
            "path",
        ),
        Suite("rows", pd.DataFrame(rows), token_rows.expectations(length, vocabulary), "path"),
    ]
    result = validation.run(suites)
    if write:
        name = storage.display(folder).rsplit("/", 1)[-1]
        validation.write(result, f"Tokens {name}", storage.join(folder, "validation"))
    return result


def _counts(manifest: TokensManifest, parts: Mapping[str, Sequence[Shard]]) -> pd.DataFrame:
    length = manifest["sequence_length"]
    stated = {"train": manifest["tokens"], "heldout": manifest["heldout_tokens"]}
    rows = [
        (f"tokens of {part}: manifest and rows", stated[part], length * sum(s.rows for s in some))
        for part, some in parts.items()
    ]
    for part, some in parts.items():
        listed = sum(f["path"].split("/")[0] == part for f in manifest["files"])
        rows.append((f"files of {part}: manifest and folder", listed, len(some)))
    return pd.DataFrame(rows, columns=["what", "stated", "found"])


def _boundary(folder: str) -> int | None:
    """Return the id of the token that every document begins with; None without a tokenizer."""
    uri = storage.join(folder, "tokenizer", "tokenizer.json")
    if not storage.exists(uri):
        return None
    for token in storage.read_json(uri).get("added_tokens", []):
        if token["content"] == END_OF_TEXT:
            return int(token["id"])
    return None


def _lists(table: pa.Table) -> dict[str, pa.ListArray[Any]]:
    """Return the columns of the contract that a table has."""
    return {
        name: cast("pa.ListArray[Any]", table[name].combine_chunks())
        for name in COLUMNS.names
        if name in table.column_names
    }


def _bounds(values: pa.Array[Any]) -> tuple[int | None, int | None]:
    """Return the least and the largest value; None of no values."""
    bounds = pc.min_max(values)
    return bounds["min"].as_py(), bounds["max"].as_py()


def _extremes(table: pa.Table, boundary: int | None) -> dict[str, int | None]:
    """Return the figures that `suites.token_rows` bounds; none of a column that is missing."""
    lists = _lists(table)
    nulls = sum(column.null_count + column.flatten().null_count for column in lists.values())
    out: dict[str, int | None] = {"nulls": nulls, "starts": 0, "boundaries": 0, "unordered": 0}
    if "document_starts" in lists:
        starts = lists["document_starts"]
        out["least_start"], out["largest_start"] = _bounds(starts.flatten())
    if "input_ids" in lists:
        ids = lists["input_ids"]
        out["least_id"], out["largest_id"] = _bounds(ids.flatten())
        least, largest = _bounds(pc.list_value_length(ids))
        out["least_length"], out["largest_length"] = least, largest
        if "document_starts" in lists and not nulls:
            out |= _documents(ids, starts, least if least == largest else None, boundary)
    return out


def _documents(
    ids: pa.ListArray[Any], starts: pa.ListArray[Any], length: int | None, boundary: int | None
) -> dict[str, int]:
    """How the documents' starts fit each other, and the boundary tokens where rows are equal."""
    flat = starts.flatten().to_numpy()
    row = pc.list_parent_indices(starts).to_numpy()
    out = {"unordered": int(((np.diff(flat) <= 0) & (np.diff(row) == 0)).sum())}
    if boundary is not None and length is not None:
        tokens = ids.flatten().to_numpy()
        inside = (row * length + flat)[(flat >= 0) & (flat < length)]
        out["starts"] = int((tokens[inside] == boundary).sum())
        out["boundaries"] = max(int((tokens == boundary).sum()), len(flat))
    return out


def _row_hashes(table: pa.Table, length: int) -> set[int]:
    """Hash each row of those that have the right length."""
    column = _lists(table).get("input_ids")
    if column is None:
        return set()
    flat = column.flatten()
    if flat.null_count or len(flat) != len(column) * length:
        return set()
    return {hash(row.tobytes()) for row in flat.to_numpy().reshape(-1, length)}
