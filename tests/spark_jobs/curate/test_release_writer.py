"""Writing one group: verdicts of the scan and of deduplication meet, and counts add up."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.spark_jobs.curate.dedup_job import UNIT_SHIFT, VERDICTS, verdict_file
from headrace.spark_jobs.curate.release_writer import EXAMPLES, group_file, write_group
from headrace.spark_jobs.curate.scan_job import RESULT, UnitFiles
from headrace.spark_jobs.reading.records import LOST
from headrace.spark_jobs.release_columns import SCORED


def row(position: int, level: str | None = None) -> dict[str, object]:
    values = {field.name: None for field in SCORED}
    return {
        **values,
        "id": f"id{position}", "text": "中x", "source": "s", "position": position, "lang": "en",
        "domain": "legal", "content_hash": f"{position:032x}", "semantic_score": 1.0,
        "level": level, "reason": level and f"{level}.rule", "detail": None,
        "repairs": 2 * (position in (1, 4, 5)),
    }  # fmt: skip


def scanned(work: Path, unit: int, rows: list[dict[str, object]], unreadable: int = 0) -> None:
    at = UnitFiles(str(work), unit)
    Path(at.records).parent.mkdir(parents=True, exist_ok=True)
    for uri, schema, values in (
        (at.records, RESULT, rows),
        (
            at.unreadable,
            LOST,
            [{"source": "s", "position": 99, "raw": b"?", "error": "e", "bytes": 7}] * unreadable,
        ),
    ):
        with pa.ipc.new_stream(uri, schema) as out:
            # Two batches, so that a row's number is not its number in its batch.
            for part in (values[:1], values[1:]):
                out.write_table(pa.Table.from_pylist(part, schema))


def test_a_group_is_split_by_outcome_and_counted(tmp_path: Path) -> None:
    work, release = tmp_path / "work", tmp_path / "release"
    scanned(work, 0, [row(1), row(2, "format"), row(3)])
    scanned(work, 1, [row(k, "bias") for k in range(4, 20)] + [row(20)], unreadable=2)
    duplicates = [
        {"doc": 2, "reason": "duplicate.near", "detail": "id1"},
        {"doc": (1 << UNIT_SHIFT) + 16, "reason": "duplicate.exact", "detail": "id1"},
    ]
    Path(verdict_file(str(work), 0)).parent.mkdir()
    pq.write_table(pa.Table.from_pylist(duplicates, VERDICTS), verdict_file(str(work), 0))
    write_group(0, str(work), str(release), 2)

    def positions(part: str) -> list[int]:
        path = release / part / "part-00000.parquet"
        return pq.ParquetFile(path).read()["position"].to_pylist()

    assert positions("documents/lang=en/domain=legal") == [1]
    assert positions("rejected/level=format") == [2]
    assert positions("rejected/level=duplicate") == [3, 20]
    assert positions("rejected/level=bias") == list(range(4, 20))
    assert positions("unreadable") == [99, 99]
    said = json.loads(Path(group_file(str(work), 0)).read_text())
    assert sorted(said["ledger"]) == [
        ["s", "kept", "", "", "en", 1, 4, 1],
        ["s", "rejected", "bias", "bias.rule", "en", 16, 64, 2],
        ["s", "rejected", "duplicate", "duplicate.exact", "en", 1, 4, 0],
        ["s", "rejected", "duplicate", "duplicate.near", "en", 1, 4, 0],
        ["s", "rejected", "format", "format.rule", "en", 1, 4, 0],
        ["s", "unreadable", "", "", "und", 2, 14, 0],
    ]
    assert [f["rows"] for f in said["files"]] == [1, 16, 2, 1, 2]
    # The smallest content hashes are shown.
    assert [e["position"] for e in said["examples"]["bias"]] == list(range(4, 4 + EXAMPLES))
    assert not list(release.rglob(".*")) and not list((work / "scratch").iterdir())


def test_a_group_written_again_has_the_same_bytes(tmp_path: Path) -> None:
    work = tmp_path / "work"
    scanned(work, 0, [row(k) for k in range(50)])
    write_group(0, str(work), str(tmp_path / "a"), 1)
    first = Path(group_file(str(work), 0)).read_bytes()
    write_group(0, str(work), str(tmp_path / "b"), 1)
    assert Path(group_file(str(work), 0)).read_bytes() == first
