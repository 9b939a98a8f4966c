"""Expectations on a release: its ledger, its totals, its files, and a sample of its records.

Works on a draft that has no manifest yet (`totals` and `config` are given then) and on a finished
release. Which rows are looked at depends on the paths alone, so the same release gives the same
result; ledger, footers and content hashes are looked at whole.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from headrace.expectations import shards, validation
from headrace.expectations.shards import Shard
from headrace.expectations.stated import CurationConfig, numbers, switch
from headrace.expectations.suites import (
    files,
    release_documents,
    release_ledger,
    release_rejected,
)
from headrace.expectations.suites import totals as adding_up
from headrace.expectations.validation import Suite, ValidationResult
from headrace.infra import lineage, releases, storage
from headrace.infra.level_facts import LevelFacts
from headrace.infra.releases import FileEntry, Totals
from headrace.infra.schemas import LEDGER, UNREADABLE, documents_file, rejected_file

MAX_ROWS = 50_000
"""Rows of kept and of rejected records whose values are looked at."""
MAX_HASHES = 5_000_000
"""Kept records whose content hashes are compared with each other."""
_LEAST_FOR_HELDOUT = 2_000
"""Distinct records below which the share of held-out ones says nothing."""


def validate(
    folder: str,
    levels: Sequence[LevelFacts],
    totals: Totals | None = None,
    config: CurationConfig | None = None,
    write: bool = True,
) -> ValidationResult:
    """Hold a release against the expectations; result and data docs go into its `validation/`.

    Args:
        folder: of the release, or of a draft of one.
        levels: of today; those that the release knows no settings of didn't exist then.
        totals: of the draft; None takes the manifest's.
        config: the settings of the curation; None takes the manifest's.
        write: whether `validation/` is written.

    Raises:
        InputError: neither totals nor manifest are there.
    """
    stated = None
    if totals is None or config is None:
        manifest = releases.manifest(folder)
        totals, config = manifest["totals"], manifest["config"]
        stated = {entry["path"]: entry for entry in manifest["files"]}
    levels = [level for level in levels if level.name in config]
    parts = {part: shards.shards(folder, part) for part in ("documents", "rejected", "unreadable")}
    ledger = _ledger(folder)
    hashes = _hashes(parts["documents"])
    suites = [
        Suite(
            "totals",
            pd.concat([_counts(totals, ledger, parts), _repeats(hashes, config)]),
            adding_up.counts(),
            "what",
        ),
        Suite("shares", _shares(totals, hashes), adding_up.shares(), "what"),
        Suite(
            "files", _files(parts, stated, levels), files.expectations(stated is not None), "path"
        ),
        Suite("ledger", _ledger_frame(ledger), release_ledger.expectations(levels), "source"),
        Suite(
            "documents",
            _documents(parts["documents"], config, levels),
            release_documents.expectations(config, levels),
            "id",
        ),
        Suite(
            "rejected", _rejected(parts["rejected"]), release_rejected.expectations(levels), "id"
        ),
    ]
    result = validation.run(suites)
    if write:
        title = f"Release {storage.display(folder).rsplit('/', 1)[-1]}"
        validation.write(result, title, storage.join(folder, "validation"))
    return result


def _ledger(folder: str) -> pa.Table:
    uri = storage.join(folder, "ledger.parquet")
    if not storage.exists(uri):
        return LEDGER.empty_table()
    with shards.readable(uri) as file:
        return file.read()


def _ledger_frame(ledger: pa.Table) -> pd.DataFrame:
    rejected = pc.equal(ledger["outcome"], pa.scalar("rejected")).cast(pa.int8())
    level = pc.is_valid(ledger["level"]).cast(pa.int8())
    if "repaired" not in ledger.column_names:  # a release from before repairs were counted
        ledger = ledger.append_column("repaired", pa.nulls(ledger.num_rows, pa.int64()))
    return _pandas(ledger.append_column("is_rejected", rejected).append_column("has_level", level))


def _pandas(table: pa.Table) -> pd.DataFrame:
    """Return the table as a frame in which null is None for text, and nan for numbers."""
    return table.to_pandas(
        types_mapper={pa.string(): pd.StringDtype("python"), pa.int32(): pd.Int32Dtype()}.get
    )


def _counts(totals: Totals, ledger: pa.Table, parts: Mapping[str, Sequence[Shard]]) -> pd.DataFrame:
    """Each count from the two places where it is known."""
    rejected = dict(totals["rejected"])
    counted: Counter[tuple[str, str]] = Counter()
    by_lang: Counter[str] = Counter()
    for row in ledger.to_pylist():
        counted[row["outcome"], row["level"] or ""] += row["records"]
        if row["outcome"] == "kept":
            by_lang[row["lang"]] += row["records"]
    in_files: Counter[tuple[str, str]] = Counter()
    for part, group in parts.items():
        for shard in group:
            outcome = "kept" if part == "documents" else part
            in_files[outcome, shard.keys.get("level", "")] += shard.rows
    langs: Counter[str] = Counter()
    repaired = sum(row.get("repaired") or 0 for row in ledger.to_pylist())
    for shard in parts["documents"]:
        langs[shard.keys.get("lang", "")] += shard.rows
    stated = {("kept", ""): totals["kept"], ("unreadable", ""): totals["unreadable"]}
    stated |= {("rejected", level): n for level, n in rejected.items()}
    rows = [
        (
            "records read = kept + rejected + unreadable",
            totals["read"],
            totals["kept"] + sum(rejected.values()) + totals["unreadable"],
        )
    ]
    for key in sorted({*stated, *counted, *in_files}):
        name = " at ".join(filter(None, key))
        rows.append((f"{name}: totals and ledger", stated.get(key, 0), counted[key]))
        rows.append((f"{name}: ledger and files", counted[key], in_files[key]))
    rows.append(("repaired: totals and ledger", totals.get("repaired", 0), repaired))
    rows += [
        (f"kept in {lang}: ledger and files", by_lang[lang], langs[lang])
        for lang in sorted({*by_lang, *langs})
    ]
    return pd.DataFrame(rows, columns=["what", "stated", "found"])


def _hashes(documents: Sequence[Shard]) -> list[str]:
    """Content hashes of all kept documents; none of a release too large for that."""
    if sum(s.rows for s in documents) > MAX_HASHES:
        return []
    return [
        h or ""
        for table in shards.read(documents, ["content_hash"])
        if "content_hash" in table.column_names
        for h in table["content_hash"].to_pylist()
    ]


def _repeats(hashes: Sequence[str], config: CurationConfig) -> pd.DataFrame:
    """Kept documents against distinct content hashes, where duplicates were to be removed."""
    row = ("kept documents and their distinct contents", len(hashes), len(set(hashes)))
    rows = [row] if switch(config["dedup"], "enabled") and hashes else []
    return pd.DataFrame(rows, columns=["what", "stated", "found"])


def _shares(totals: Totals, hashes: Sequence[str]) -> pd.DataFrame:
    """Shares, and by how much they are below or above what is plausible."""
    read = max(1, totals["read"])
    # A release may keep nothing: all of an input can be of another domain than asked for.
    rows = [("kept", totals["kept"] / read, 0.0, 1.0)]
    known = [h for h in set(hashes) if re.fullmatch("[0-9a-f]{32}", h)]
    if len(known) >= _LEAST_FOR_HELDOUT:
        # Five standard deviations of a fair hash: once in two million releases by chance.
        expected = 1 / lineage.HELDOUT_MODULUS
        margin = 5 * math.sqrt(expected * (1 - expected) / len(known))
        share = sum(map(lineage.is_heldout, known)) / len(known)
        rows.append(("held out", share, expected - margin, expected + margin))
    return pd.DataFrame(
        [(what, share, low - share, share - high) for what, share, low, high in rows],
        columns=["what", "share", "below", "above"],
    )


def _files(
    parts: Mapping[str, Sequence[Shard]],
    stated: Mapping[str, FileEntry] | None,
    levels: Sequence[LevelFacts],
) -> pd.DataFrame:
    contract = {
        "documents": documents_file(levels),
        "rejected": rejected_file(levels),
        "unreadable": UNREADABLE,
    }
    pairs = [(shard, contract[part]) for part, group in parts.items() for shard in group]
    return shards.frame([shard for shard, _ in pairs], [schema for _, schema in pairs], stated)


def _partition(table: pa.Table, shard: Shard, *names: str) -> pa.Table:
    for name in names:
        value = pa.array([shard.keys.get(name)] * table.num_rows, pa.string())
        if name not in table.column_names:
            table = table.append_column(name, value)
    return table


def _documents(
    kept: Sequence[Shard], config: CurationConfig, levels: Sequence[LevelFacts]
) -> pd.DataFrame:
    """Sample the kept documents, with `Score.excess` of scores with several thresholds."""
    chosen = shards.sample(kept, MAX_ROWS)
    tables = [
        _partition(table, shard, "lang", "domain")
        for table, shard in zip(shards.read(chosen), chosen, strict=True)
    ]
    if not tables:
        return pd.DataFrame()
    table = pa.concat_tables(tables, promote_options="permissive")
    for level in levels:
        for score in level.scores:
            if score.per and {score.per, score.name} <= set(table.column_names):
                thresholds = numbers(config[level.name], score.threshold)
                values = table[score.per].to_pylist()
                least = np.array([thresholds.get(str(v), math.inf) for v in values])
                over = table[score.name].cast(pa.float64()).to_numpy() - least
                table = table.append_column(score.excess, pa.array(over, from_pandas=True))
    return _pandas(table)


def _rejected(rejected: Sequence[Shard]) -> pd.DataFrame:
    chosen = shards.sample(rejected, MAX_ROWS)
    tables = [
        _partition(table, shard, "level")
        for table, shard in zip(shards.read(chosen), chosen, strict=True)
    ]
    if not tables:
        return pd.DataFrame()
    table = pa.concat_tables(tables, promote_options="permissive")
    if "reason" in table.column_names:
        level = [str(reason or "").split(".")[0] for reason in table["reason"].to_pylist()]
        table = table.append_column("reason_level", pa.array(level, pa.string()))
    return _pandas(table)
