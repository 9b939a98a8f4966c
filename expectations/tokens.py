"""Expectations on packed token shards: every row is looked at, a file at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from headrace.expectations import shards, validation
from headrace.expectations.shards import Shard
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
"""Share of held-out rows that may equal a row of the training part, token for token."""


def validate(folder: str, write: bool = True) -> ValidationResult:
    """How token shards meet the expectations; `validation/` in the folder gets the result.

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
    manifest = storage.read_json(uri)
    length, vocabulary = manifest["sequence_length"], manifest["vocabulary"]
    parts = {part: shards.shards(folder, part) for part in PARTS}
    found = [shard for some in parts.values() for shard in some]
    boundary = _boundary(folder)
    rows: list[dict[str, Any]] = []
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
            shards.frame(found, [COLUMNS] * len(found), stated),
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


def _counts(manifest: Mapping[str, Any], parts: Mapping[str, Sequence[Shard]]) -> pd.DataFrame:
    length = manifest["sequence_length"]
    rows = [
        (f"tokens of {part}: manifest and rows", manifest[key], length * sum(s.rows for s in some))
        for (part, some), key in zip(parts.items(), ("tokens", "heldout_tokens"), strict=True)
    ]
    for part, some in parts.items():
        listed = sum(f["path"].split("/")[0] == part for f in manifest["files"])
        rows.append((f"files of {part}: manifest and folder", listed, len(some)))
    return pd.DataFrame(rows, columns=["what", "stated", "found"])


def _boundary(folder: str) -> int | None:
    """Id of the token that every document begins with; None without a tokenizer beside."""
    uri = storage.join(folder, "tokenizer", "tokenizer.json")
    if not storage.exists(uri):
        return None
    for token in storage.read_json(uri).get("added_tokens", []):
        if token["content"] == END_OF_TEXT:
            return int(token["id"])
    return None


def _extremes(table: pa.Table, boundary: int | None) -> dict[str, Any]:
    """Of one file: the least and largest of what `suites.token_rows` bounds."""
    out: dict[str, Any] = {"nulls": 0, "starts": 0, "boundaries": 0, "unordered": 0}
    for name, called in (("input_ids", "id"), ("document_starts", "start")):
        if name not in table.column_names:
            continue
        column = table[name].combine_chunks()
        flat = column.flatten()
        out["nulls"] += column.null_count + flat.null_count
        extremes = pc.min_max(flat).as_py()
        out[f"least_{called}"], out[f"largest_{called}"] = extremes["min"], extremes["max"]
        if name == "input_ids":
            lengths = pc.min_max(pc.list_value_length(column)).as_py()
            out["least_length"], out["largest_length"] = lengths["min"], lengths["max"]
    if set(COLUMNS.names) <= set(table.column_names) and not out["nulls"]:
        starts = table["document_starts"].combine_chunks()
        flat = starts.flatten().to_numpy()
        row = pc.list_parent_indices(starts).to_numpy()
        out["unordered"] = int(((np.diff(flat) <= 0) & (np.diff(row) == 0)).sum())
        if boundary is not None and out["least_length"] == out["largest_length"]:
            ids = table["input_ids"].combine_chunks().flatten().to_numpy()
            at = row * out["least_length"] + flat
            inside = at[(flat >= 0) & (flat < out["least_length"])]
            out["starts"] = int((ids[inside] == boundary).sum())
            out["boundaries"] = max(int((ids == boundary).sum()), len(flat))
    return out


def _row_hashes(table: pa.Table, length: int) -> set[int]:
    """A hash of each row, of those that have the right length."""
    if "input_ids" not in table.column_names:
        return set()
    column = table["input_ids"].combine_chunks()
    flat = column.flatten()
    if flat.null_count or len(flat) != len(column) * length:
        return set()
    return {hash(row.tobytes()) for row in flat.to_numpy().reshape(-1, length)}
