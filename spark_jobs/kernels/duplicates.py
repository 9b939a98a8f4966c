"""Duplicates among records whose keys fit into memory: the same answer as the Spark job's.

Starting a dozen Spark stages costs more than the whole of a small curation; arrays do the same in
milliseconds. Larger inputs go through DataFrames (dedup_job), which no memory limits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from headrace.spark_jobs.kernels.minhash import BANDS, Matcher, unpacked

Index = npt.NDArray[np.int64]


def ranked(keys: pa.Table) -> pa.Table:
    """`keys` in the order in which the first of several alike stays."""
    table = keys.append_column("new", pc.greater_equal(keys["doc"], pa.scalar(0)))
    return table.sort_by(
        [
            ("new", "ascending"),
            ("score", "descending"),
            ("length", "descending"),
            ("id", "ascending"),
            ("doc", "ascending"),
        ]
    ).combine_chunks()


def components(u: Index, v: Index, n: int) -> Index:
    """(n,) the smallest number of the component of each node, from edges u-v."""
    root = np.arange(n)
    while True:
        least = np.minimum(root[u], root[v])
        new = root.copy()
        np.minimum.at(new, u, least)
        np.minimum.at(new, v, least)
        np.minimum.at(new, root[u], least)
        np.minimum.at(new, root[v], least)
        new = new[new]
        if np.array_equal(new, root):
            return root
        root = new


def _signatures(column: pa.ChunkedArray[Any]) -> npt.NDArray[np.uint16]:
    """(N, BINS) signatures of a binary column without nulls."""
    return unpacked(column.combine_chunks())


def _near(unique: pa.Table, threshold: float) -> Index:
    """(N,) the row that stays for each of N rows in rank order."""
    n = unique.num_rows
    own = np.arange(n)
    if n < 2:
        return own
    bands = pc.list_flatten(unique["bands"].combine_chunks()).to_numpy(zero_copy_only=False)
    order = np.argsort(bands, kind="stable")
    band, row = bands[order], order // BANDS
    same = band[1:] == band[:-1]
    shared = np.append(same, False) | np.insert(same, 0, False)
    band, row = band[shared], row[shared]
    doc = unique["doc"].to_numpy()
    signatures = _signatures(unique["signature"])
    matcher = Matcher(threshold)
    u, v = matcher.match(band, doc[row], signatures[row])
    by_doc = np.argsort(doc)
    at = np.searchsorted(doc[by_doc], np.concatenate([u, v]))
    edges = by_doc[at]
    return components(edges[: u.size], edges[u.size :], n)


def repeated_ids(keys: pa.Table) -> int:
    """How many records have the id of another record with another text."""
    texts = keys.group_by("id").aggregate([("content_hash", "count_distinct")])
    counts = texts["content_hash_count_distinct"].to_numpy()
    return int((counts - 1).sum())


def find(keys: pa.Table, threshold: float) -> pa.Table:
    """(doc, reason, detail) of the duplicates among records that passed, by doc.

    Args:
        keys: doc, id, content_hash, passed, score, length, bands, signature.
        threshold: estimated similarity from which two texts are near duplicates.
    """
    table = ranked(keys.filter(keys["passed"]))
    code = table["content_hash"].combine_chunks().dictionary_encode().indices.to_numpy()
    first, place = np.unique(code, return_index=True, return_inverse=True)[1:]
    unique = table.take(pa.array(np.sort(first), pa.int64()))
    # Codes are numbered as they first appear, so row k of `unique` is the text of code k.
    kept = _near(unique, threshold)[place] if table.num_rows else place
    is_first = np.zeros(table.num_rows, np.bool_)
    is_first[first] = True
    goes = (~is_first) | (kept != place)
    goes &= table["doc"].to_numpy() >= 0
    reason = np.where(is_first, "duplicate.near", "duplicate.exact")[goes]
    return pa.table(
        {
            "doc": pa.array(table["doc"].to_numpy()[goes], pa.int64()),
            "reason": pa.array(reason, pa.string()),
            "detail": unique["id"].combine_chunks().take(pa.array(kept[goes], pa.int64())),
        }
    ).sort_by("doc")
