"""A release that is right passes; each damage is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.expectations import release
from headrace.infra.errors import InputError, ValidationError
from headrace.spark_jobs.levels import LEVELS


def test_right_release_passes_and_docs_are_written(made: Any) -> None:
    folder = made.save()
    result = release.validate(str(folder), LEVELS)
    assert result.failed == []
    assert result.success and result.evaluated > 50
    said = json.loads((folder / "validation/results.json").read_text())
    assert said["success"] and said["evaluated"] == result.evaluated
    page = (folder / "validation/index.html").read_text()
    assert "all hold" in page and "http" not in page.replace("http-equiv", "")


def test_draft_without_manifest(made: Any) -> None:
    folder = str(made.draft())
    assert release.validate(folder, LEVELS, made.totals(), made.config).success
    with pytest.raises(InputError, match="isn't finished"):
        release.validate(folder, LEVELS)


def test_finished_release_can_be_left_as_it_is(made: Any) -> None:
    folder = made.save()
    release.validate(str(folder), LEVELS, write=False)
    assert not (folder / "validation").exists()


def test_same_release_gives_same_bytes(made: Any) -> None:
    folder = made.save()
    release.validate(str(folder), LEVELS)
    first = {p.name: p.read_bytes() for p in (folder / "validation").iterdir()}
    release.validate(str(folder), LEVELS)
    assert first == {p.name: p.read_bytes() for p in (folder / "validation").iterdir()}


def test_each_damaged_document_is_named(made: Any) -> None:
    damages: list[tuple[dict[str, Any], str]] = [
        ({"text": None}, "has a value in every row (text)"),
        ({"text": " \n"}, "is not blank (text)"),
        ({"lang": "fr"}, "is a language that is kept (lang)"),
        ({"domain": "sports"}, "is a target domain (domain)"),
        ({"semantic_score": 1.5}, "is a share (semantic_score)"),
        ({"semantic_score": 0.6}, "reaches the threshold of what is kept (semantic_score)"),
        ({"bias_score": 0.31}, "stays below the threshold of what is kept (bias_score)"),
        ({"domain_score": 0.4}, "reaches the threshold of its target domain (over_target)"),
        ({"domain_score": None}, "has a value in every row (domain_score)"),
        ({"fact_verdict": "refuted"}, "is a verdict that is kept (fact_verdict)"),
        ({"content_hash": "XYZ"}, "is a 128-bit hash in hex (content_hash)"),
        ({"position": 0}, "counts from 1 (position)"),
    ]
    for i, (changes, _) in enumerate(damages):
        made.kept[i] = made.record(i, **changes)
    failed = release.validate(str(made.save()), LEVELS).failed
    for i, (_, said) in enumerate(damages):
        sentence = next(s for s in failed if s.startswith(f"documents: {said}: "))
        assert f"id {i:032x}" in sentence, sentence


def test_a_repeated_document_is_named(made: Any) -> None:
    made.kept[7] = made.record(7, content_hash=made.kept[0]["content_hash"])
    failed = release.validate(str(made.save()), LEVELS).failed
    assert any("names one kept document only" in s and f"{7:032x}" in s for s in failed)
    assert any("distinct contents, found 79, stated 80" in s for s in failed), failed


def test_a_damaged_reject_is_named(made: Any) -> None:
    made.rejected[0]["reason"] = "bias.group"
    made.rejected[1]["reason"] = "empty"
    failed = release.validate(str(made.save()), LEVELS).failed
    assert any("names the level of its folder" in s for s in failed)
    assert any("is written <level>.<rule>" in s for s in failed)


def _drop_a_file(folder: Path) -> None:
    (folder / "rejected/level=format/0.parquet").unlink()


def _other_type(folder: Path) -> None:
    path = next(folder.glob("documents/*/domain=legal/*.parquet"))
    table = pq.ParquetFile(path).read()
    at = table.column_names.index("bias_score")
    pq.write_table(table.set_column(at, "bias_score", table["bias_score"].cast(pa.float64())), path)


def _ledger_short(folder: Path) -> None:
    path = folder / "ledger.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)


def _more_repaired(folder: Path) -> None:
    path = folder / "ledger.parquet"
    table = pq.read_table(path)
    at = table.column_names.index("repaired")
    ones = pa.array([1] * table.num_rows, pa.int64())
    pq.write_table(table.set_column(at, "repaired", ones), path)


def _no_ledger(folder: Path) -> None:
    (folder / "ledger.parquet").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_drop_a_file, "totals: adds up"),
        (_other_type, "bias_score is double, not float"),
        (_ledger_short, "totals: adds up"),
        (_more_repaired, "totals: adds up"),
        (_no_ledger, "totals: adds up"),
    ],
)
def test_damaged_files_are_named(made: Any, spoil: Callable[[Path], None], said: str) -> None:
    made.spoil = spoil
    failed = release.validate(str(made.save()), LEVELS).failed
    assert any(said in s for s in failed), failed


def test_a_ledger_of_before_repairs_were_counted_passes(made: Any) -> None:
    def forget(folder: Path) -> None:
        path = folder / "ledger.parquet"
        pq.write_table(pq.read_table(path).drop_columns(["repaired"]), path)

    made.spoil = forget
    assert release.validate(str(made.save()), LEVELS).failed == []


def test_a_file_changed_after_publication_is_named(made: Any) -> None:
    folder = made.save()
    path = folder / "documents/lang=zh/domain=legal/0.parquet"
    pq.write_table(pq.ParquetFile(path).read(), path, compression="none")
    failed = release.validate(str(folder), LEVELS).failed
    assert any("has the checksum that the manifest states" in s for s in failed)
    path.unlink()
    failed = release.validate(str(folder), LEVELS).failed
    assert any("lang=zh/domain=legal" in s for s in failed)


def test_totals_that_do_not_add_up(made: Any) -> None:
    totals: Any = {**made.totals(), "read": 1000}
    failed = release.validate(str(made.draft()), LEVELS, totals, made.config).failed
    assert any("records read = kept + rejected + unreadable" in s for s in failed)


def test_a_release_may_keep_nothing(made: Any) -> None:
    made.kept = []
    assert release.validate(str(made.save()), LEVELS).success


def test_share_of_held_out_records(made: Any) -> None:
    made.kept = [made.record(i) for i in range(2500)]
    assert release.validate(str(made.save()), LEVELS).success
    # A hash that avoids the held-out residue: somebody took those records away.
    made.kept = [r for r in made.kept if int(r["content_hash"], 16) % 50]
    failed = release.validate(str(made.save()), LEVELS).failed
    assert any("held out" in s for s in failed)


def test_duplicates_stay_where_deduplication_is_off(made: Any) -> None:
    made.config = {**made.config, "dedup": {"enabled": False}}
    made.kept.append(made.record(0, id="ff"))
    assert release.validate(str(made.save()), LEVELS).failed == []


@pytest.mark.parametrize("name", ["ledger.parquet", "documents"])
def test_a_damaged_file_is_named(made: Any, name: str) -> None:
    folder = made.save()
    below = sorted((folder / name).rglob("*.parquet"))
    file = below[0] if below else folder / name
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(ValidationError, match=str(file)):
        release.validate(str(folder), LEVELS, write=False)
