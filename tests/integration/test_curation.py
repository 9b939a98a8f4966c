"""A whole curation: the same bytes at any partition count, after kills; a ledger that adds up."""

import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kill import kill, moments

from headrace.infra import releases
from headrace.infra.configuration.settings import SparkSettings
from headrace.infra.errors import InputError, UsageError, ValidationError
from headrace.infra.lineage import is_heldout
from headrace.infra.schemas import LEDGER, UNREADABLE
from headrace.spark_jobs.curate import dedup_job, inventory_job, release_job, scan_job
from headrace.spark_jobs.release_columns import DOCUMENTS_FILE, REJECTED_FILE
from headrace.spark_jobs.settings import CurateJob, CurateSettings, Source
from headrace.tasks.corpus.curation import validate_finished

pytestmark = pytest.mark.spark

ZH = [
    "清晨的集市上挤满了买菜的人，摊主们大声招呼着过往的顾客。",
    "这座桥建于一百多年前，至今仍然是两岸居民往来的主要通道。",
    "学校决定从下个月起延长图书馆的开放时间，方便学生自习。",
    "经过三年的努力，村里的路终于修通了，老人们都很高兴。",
    "研究人员在山谷里发现了一种从未记录过的植物，花朵呈淡紫色。",
    "医生建议他每天散步半小时，并且少吃油腻的食物。",
]
# Thresholds that let everything pass, so that these tests are about the engine alone.
OPEN = {
    "semantics": {"threshold": 0.0},
    "bias": {"threshold": 1.0},
    "facts": {"enabled": False},
    "domain": {"targets": dict.fromkeys(("general", "legal", "medical", "financial"), 0.0)},
}

STRICT = {**OPEN, "input": {"max_unreadable": 0.01}}


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from headrace.infra.spark import session as sessions

    os.environ["HEADRACE_HOME"] = str(tmp_path_factory.mktemp("spark-home"))
    return sessions.session(SparkSettings())


def texts() -> list[str]:
    """English paragraphs that Python ships, and Chinese ones, with copies near and exact."""
    rnd = random.Random(3)
    english = [t.strip() for t in sorted(topics.values()) if 300 < len(t) < 9000][:80]
    chinese = ["".join(rnd.sample(ZH, 5)) + f"编号{k}。" for k in range(40)]
    both = english + chinese
    both += [english[3], english[3], english[5] + "\n\nOne more line.", chinese[2]]
    rnd.shuffle(both)
    return both


def corpus(folder: Path) -> Path:
    """An input folder of good records in four files, and every kind of damage."""
    folder.mkdir()
    rows = [json.dumps({"text": t}, ensure_ascii=False).encode() for t in texts()]
    (folder / "a.jsonl").write_bytes(b"\n".join(rows[:60]) + b"\n")
    (folder / "b.jsonl").write_bytes(
        b"\r\n".join(
            [*rows[60:100], b'{"text": "cut', b"\xff\xfe\x00broken", b'{"text": null}', b"[]"]
        )
    )
    packed = gzip.compress(b"\n".join(rows[100:]))
    (folder / "c.jsonl.gz").write_bytes(packed[: len(packed) * 3 // 4])
    (folder / "d.jsonl").write_bytes(b"")
    (folder / "e.parquet").write_bytes(b"PAR1 not really")
    (folder / "f.txt").write_text("A note of its own, in a file of its own, about nothing much.")
    # Files that are not what their names say, and what is no file.
    more = [{"text": "".join(random.Random(k).sample(ZH, 4)) + f"补充{k}。"} for k in range(60)]
    (folder / "g.json").write_text(json.dumps(more[:20], indent=1, ensure_ascii=False))
    wide = "\n".join(json.dumps(r, ensure_ascii=False) for r in more[20:40])
    (folder / "h.jsonl").write_bytes(wide.encode("utf-16"))
    returns = "\r".join(json.dumps(r) for r in more[40:])
    (folder / "i.jsonl").write_bytes(returns.encode())
    (folder / "j.csv").write_text('text,n\n"One, two",1\nThree and four are more.,2,3\n')
    (folder / "k.jsonl").symlink_to("nowhere")
    (folder / "l.jsonl").symlink_to("a.jsonl")
    (folder / "README.md").write_text("What this folder holds.")
    return folder


def job(inputs: Path | list[Path], output: Path, **changes: Any) -> CurateJob:
    paths = inputs if isinstance(inputs, list) else [inputs]
    settings = changes.pop("settings", {**OPEN, "input": {"max_unreadable": 0.2}})
    return CurateJob(
        inputs=tuple(Source(uri=str(p)) for p in paths),
        output=str(output),
        settings=CurateSettings.model_validate(settings),
        **changes,
    )


def curate(spark: Any, job: CurateJob) -> dict[str, Any]:
    inventory = inventory_job.take(job)
    if done := release_job.finished(job, inventory):
        return {**done}
    scan_job.scan(spark, job, inventory)
    dedup_job.deduplicate(spark, job, inventory)
    return {**release_job.publish(job, release_job.write(spark, job, inventory))}


def parquet(release: str) -> dict[str, str]:
    """{path: SHA-256} of a release's Parquet files, which are those of the manifest."""
    root = Path(release)
    there = {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in root.rglob("*.parquet")
    }
    manifest = json.loads((root / "manifest.json").read_text())
    assert there == {
        f["path"]: f["sha256"] for f in manifest["files"] if f["path"].endswith(".parquet")
    }
    return there


def manifest_of(said: dict[str, Any]) -> list[str]:
    """The URIs of a release's inputs."""
    manifest = json.loads(Path(said["release"], "manifest.json").read_text())
    return [i["uri"] for i in manifest["inputs"]]


def rows(release: str, part: str) -> list[dict[str, Any]]:
    files = sorted(Path(release, part).rglob("*.parquet"))
    return [r for p in files for r in pq.ParquetFile(p).read().to_pylist()]


@pytest.fixture(scope="module")
def small_units() -> Iterator[None]:
    """So that a small input has many units and groups."""
    old = inventory_job.SMALLEST_UNIT
    inventory_job.SMALLEST_UNIT = 6000
    yield
    inventory_job.SMALLEST_UNIT = old


@pytest.fixture(scope="module")
def reference(
    spark: Any, small_units: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """(input folder, what curate said of its release)."""
    root = tmp_path_factory.mktemp("reference")
    inputs = corpus(root / "in")
    return inputs, curate(spark, job(inputs, root / "out"))


def test_the_ledger_adds_up(reference: tuple[Path, dict[str, Any]]) -> None:
    inputs, said = reference
    kept, rejected, lost = (
        rows(said["release"], p) for p in ("documents", "rejected", "unreadable")
    )
    assert said["read"] == said["kept"] + sum(said["rejected"].values()) + said["unreadable"]
    assert said["kept"] == len(kept) and said["unreadable"] == len(lost)
    assert sum(said["rejected"].values()) == len(rejected)
    ledger = pq.read_table(Path(said["release"], "ledger.parquet"))
    assert ledger.schema == LEDGER
    assert sum(ledger["records"].to_pylist()) == said["read"]
    names = {Path(u).name for u in manifest_of(said)}
    assert names == {p.name for p in inputs.iterdir()} - {"README.md", "l.jsonl"}
    assert said["input_bytes"] == sum(p.stat().st_size for p in inputs.iterdir() if p.exists()) - (
        (inputs / "l.jsonl").stat().st_size + (inputs / "README.md").stat().st_size
    )
    per_file: dict[str, int] = {}
    for row in kept + rejected + lost:
        name = Path(row["source"]).name
        per_file[name] = per_file.get(name, 0) + 1
    assert per_file["a.jsonl"] == 60 and per_file["b.jsonl"] == 44
    assert per_file["e.parquet"] == per_file["f.txt"] == 1 and per_file["c.jsonl.gz"] > 1
    assert [per_file[n] for n in ("g.json", "h.jsonl", "j.csv", "k.jsonl")] == [20, 20, 2, 1]
    assert {(Path(x["uri"]).name, x["why"].split(",")[0]) for x in said["left_out"]["first"]} == {
        ("README.md", "describes the data"), ("l.jsonl", f"the same as {inputs / 'a.jsonl'}"),
    }  # fmt: skip
    noted = {Path(x["uri"]).name: x["why"] for x in said["noted_files"]["first"]}
    assert set(noted) == {"g.json", "h.jsonl", "i.jsonl", "j.csv"}
    bad = {Path(x["uri"]).name: x["why"] for x in said["unreadable_files"]["first"]}
    assert set(bad) == {"e.parquet", "k.jsonl"} and bad["k.jsonl"] == "a dangling link"
    assert noted["h.jsonl"] == "in UTF-16-LE"
    manifest = json.loads(Path(said["release"], "manifest.json").read_text())
    assert {Path(i["uri"]).name: i["records"] for i in manifest["inputs"]} == {
        **per_file,
        "d.jsonl": 0,
    }
    counts = ("read", "kept", "rejected", "unreadable", "repaired")
    assert manifest["totals"] == {k: said[k] for k in counts}
    assert said["repaired"] == sum(ledger["repaired"].to_pylist()) == 0


def test_a_release_has_the_shape_of_the_contract(reference: tuple[Path, dict[str, Any]]) -> None:
    root = Path(reference[1]["release"])
    for path in root.rglob("*.parquet"):
        schema = pq.read_schema(path).remove_metadata()
        folders = path.relative_to(root).parts[:-1]
        if folders[:1] == ("documents",):
            assert schema == DOCUMENTS_FILE
            assert folders[1].startswith("lang=") and folders[2].startswith("domain=")
        elif folders[:1] == ("rejected",):
            assert schema == REJECTED_FILE and folders[1].startswith("level=")
        elif folders[:1] == ("unreadable",):
            assert schema == UNREADABLE
    latest = json.loads((root.parents[1] / "latest.json").read_text())
    assert latest == {"release_id": root.name}
    assert not (root.parents[1] / ".work" / root.name).exists()
    assert not list(root.rglob(".*"))
    found = rows(str(root), "documents")
    assert {r["id"] for r in found if is_heldout(r["content_hash"])} != {r["id"] for r in found}


def test_duplicates_name_the_record_that_stays(reference: tuple[Path, dict[str, Any]]) -> None:
    release = reference[1]["release"]
    kept = {r["id"]: r["text"] for r in rows(release, "documents")}
    gone = [r for r in rows(release, "rejected") if r["reason"].startswith("duplicate.")]
    assert {r["reason"] for r in gone} == {"duplicate.exact", "duplicate.near"}
    others = [r["text"] for r in gone] + list(kept.values())
    for row in gone:
        if row["reason"] == "duplicate.exact":
            assert others.count(row["text"]) > 1 and row["detail"] in kept
        else:
            assert kept[row["detail"]] != row["text"]
    copied = [r for r in gone if r["reason"] == "duplicate.exact" and "编号" not in r["text"]]
    assert len(copied) == 2 and all(kept[r["detail"]] == r["text"] for r in copied)


@pytest.mark.parametrize(("partitions", "frames"), [(1, False), (7, False), (64, False), (7, True)])
def test_the_same_bytes_at_any_partition_count(
    spark: Any,
    reference: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    partitions: int,
    frames: bool,
) -> None:
    inputs, said = reference
    if frames:
        monkeypatch.setattr(dedup_job, "IN_MEMORY", 0)
    again = curate(spark, job(inputs, tmp_path, spark=SparkSettings(partitions=partitions)))
    assert again["release_id"] == said["release_id"]
    assert parquet(again["release"]) == parquet(said["release"])


def test_asking_again_returns_the_finished_release(
    reference: tuple[Path, dict[str, Any]],
) -> None:
    inputs, said = reference
    again = job(inputs, Path(said["release"]).parents[1])
    inventory = inventory_job.take(again)
    done = release_job.finished(again, inventory)
    assert done is not None
    assert {**done, "seconds": 0} == {**said, "seconds": 0}
    strict = job(inputs, Path(said["release"]).parents[1], settings=STRICT)
    with pytest.raises(InputError) as error:
        release_job.finished(strict, inventory_job.take(strict))
    assert error.value.counts["read"] == said["read"]


@pytest.mark.parametrize("damage", ["short", "gone", "empty report"])
def test_a_damaged_release_is_written_again(
    spark: Any, small_units: None, tmp_path: Path, damage: str
) -> None:
    (tmp_path / "a.jsonl").write_text(
        "".join(json.dumps({"text": t}, ensure_ascii=False) + "\n" for t in texts()[:12])
    )
    work = job(tmp_path / "a.jsonl", tmp_path / "out")
    said = curate(spark, work)
    before = parquet(said["release"])
    victim = Path(said["release"], "report.html" if "report" in damage else sorted(before)[0])
    if damage == "gone":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-7] if damage == "short" else b"")
    with pytest.raises(ValidationError, match=victim.name) as error:
        validate_finished(said["release"])
    assert error.value.code == 4
    again = curate(spark, work)
    assert again["release"] == said["release"] and parquet(again["release"]) == before
    assert (
        again["seconds"] >= 0
        and releases.damaged(again["release"], releases.manifest(again["release"])["files"]) == []
    )


def test_too_many_unreadable_publishes_nothing(
    spark: Any, reference: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    inputs, said = reference
    with pytest.raises(InputError) as error:
        curate(spark, job(inputs, tmp_path, settings=STRICT))
    counts: Any = error.value.counts
    assert error.value.code == 3 and counts["unreadable"] == said["unreadable"]
    assert (
        counts["read"] == counts["kept"] + sum(counts["rejected"].values()) + counts["unreadable"]
    )
    assert not (tmp_path / "releases").exists()


def test_a_child_holds_what_its_ancestors_lack(
    spark: Any, reference: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    inputs, _ = reference
    parent = curate(spark, job(inputs, tmp_path))
    old = rows(parent["release"], "documents")[0]["text"]
    news = "The ferry to the island will not run on Sunday because of the strong wind. " * 4
    window = tmp_path / "window.jsonl"
    window.write_text(
        "".join(json.dumps({"text": t}) + "\n" for t in (old, old + " One more word.", news))
    )
    child = curate(spark, job(window, tmp_path, parent=parent["release"]))
    assert [r["text"] for r in rows(child["release"], "documents")] == [news]
    reasons = sorted(r["reason"] for r in rows(child["release"], "rejected"))
    assert reasons == ["duplicate.exact", "duplicate.near"]
    manifest = json.loads(Path(child["release"], "manifest.json").read_text())
    assert manifest["parent"] == parent["release_id"]
    with pytest.raises(UsageError, match="is not under"):
        inventory_job.take(job(window, tmp_path / "elsewhere", parent=parent["release"]))


def test_repeated_ids_and_hostile_fields(spark: Any, tmp_path: Path) -> None:
    evil = "../../evil"
    good = [{"id": "same", "text": t} for t in texts()[:3]]
    bad = {
        "id": f"{evil}<script>", "source": evil, "lang": evil, "domain": evil,
        "text": "<script>alert(1)</script> " + "".join(ZH), "metadata": {"<script>": "alert(1)"},
    }  # fmt: skip
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in [*good, bad, bad]))
    said = curate(spark, job(path, tmp_path / "out"))
    root = Path(said["release"])
    manifest = json.loads((root / "manifest.json").read_text())
    assert manifest["warnings"]["repeated_ids"] == 2
    assert said["read"] == 5 and said["rejected"].get("duplicate") == 1
    page = (root / "report.html").read_text()
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    assert not list(tmp_path.parent.glob("evil*")) and all(
        "evil" not in p.name for p in root.rglob("*")
    )


def test_repaired_records_are_counted_wherever_they_go(spark: Any, tmp_path: Path) -> None:
    text = "The river bends south of the old mill, and the road follows it to the bridge. "
    lines = [
        f'{{"text": "{text * 4} One.", "id": "sound"}}',
        f'{{"text": "{text * 4} Two \\ud83d.", "id": "half", "score": NaN}}',
        f'{{"text": "{text * 4} Three.", "id": "twice", "a": {{"b": 1, "b": 2}}}}',
        '{"text": null, "id": "none", "n": 1e400}',
    ]
    (tmp_path / "odd.jsonl").write_text("\n".join(lines) + "\n")
    columns: list[Any] = [
        pa.array([f"{text * 4} Four."]), pa.array([b"\xff"]), pa.array([float("nan")]),
    ]  # fmt: skip
    pq.write_table(pa.Table.from_arrays(columns, ["text", "r", "r"]), tmp_path / "r.parquet")
    inputs = [tmp_path / "odd.jsonl", tmp_path / "r.parquet"]
    said = curate(spark, job(inputs, tmp_path / "out"))
    assert (said["read"], said["unreadable"], said["repaired"]) == (5, 0, 3)
    ledger = pq.read_table(Path(said["release"], "ledger.parquet")).to_pylist()
    assert sum(row["records"] for row in ledger) == 5
    odd = [row for row in ledger if row["source"].endswith("odd.jsonl")]
    assert sum(row["repaired"] for row in odd) == sum(row["repaired"] for row in ledger) == 3
    assert {row["outcome"] for row in odd if row["repaired"]} >= {"rejected"}
    manifest = json.loads(Path(said["release"], "manifest.json").read_text())
    assert manifest["totals"]["repaired"] == 3
    assert "Repaired" in Path(said["release"], "report.html").read_text()
    both = rows(said["release"], "documents") + rows(said["release"], "rejected")
    metadata = {r["id"]: json.loads(r["metadata"]) for r in both}
    assert metadata["sound"] == {} and metadata["twice"]["a"] == {"b": 2}
    assert metadata["half"] == {"score": "NaN", "repairs": ["number: NaN", "surrogate"]}
    assert metadata["none"] == {"n": "1e400", "repairs": ["number: 1e400"]}
    [other] = [m for k, m in metadata.items() if len(k) == 32]
    assert other == {"r": "data:;base64,/w==", "r_2": "NaN"}


def test_an_input_without_records_or_without_text_publishes_nothing(
    spark: Any, tmp_path: Path
) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(ValidationError, match="holds no records"):
        curate(spark, job(tmp_path / "empty.jsonl", tmp_path / "out"))
    (tmp_path / "other.jsonl").write_text('{"content": "x"}\n' * 30)
    with pytest.raises(ValidationError, match="content") as error:
        curate(spark, job(tmp_path / "other.jsonl", tmp_path / "out"))
    assert "input.fields={text: content}" in error.value.hint
    assert error.value.counts["rejected"] == {"format": 30}
    assert not (tmp_path / "out" / "releases").exists()
    assert not (tmp_path / "out" / "latest.json").exists()


def test_a_release_without_a_kept_document_is_never_the_latest(spark: Any, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text(json.dumps({"text": texts()[0]}) + "\n")
    bad.write_text('{"text": "?!"}\n')
    empty = curate(spark, job(bad, tmp_path / "out"))
    latest = tmp_path / "out" / "latest.json"
    assert empty["kept"] == 0 and Path(empty["release"], "report.html").exists()
    assert not latest.exists()
    kept = curate(spark, job(good, tmp_path / "out"))
    curate(spark, job(bad, tmp_path / "out"))
    assert kept["kept"] == 1 and json.loads(latest.read_text()) == {
        "release_id": kept["release_id"]
    }


def test_an_output_inside_the_input_is_no_input(spark: Any, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": texts()[0]}) + "\n")
    first = curate(spark, job(tmp_path, tmp_path / "out"))
    again = curate(spark, job(tmp_path, tmp_path / "out"))
    assert again["release_id"] == first["release_id"] and again["read"] == 1


DRIVER = """
import sys
from headrace.infra.spark import session as sessions
from headrace.spark_jobs.curate import dedup_job, inventory_job, release_job, scan_job
from headrace.spark_jobs.settings import CurateJob
inventory_job.SMALLEST_UNIT = 6000
job = CurateJob.model_validate_json(sys.argv[1])
inventory = inventory_job.take(job)
if not release_job.finished(job, inventory):
    session = sessions.session(job.spark)
    scan_job.scan(session, job, inventory)
    dedup_job.deduplicate(session, job, inventory)
    release_job.publish(job, release_job.write(session, job, inventory))
"""


def drive(job: CurateJob) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, job.model_dump_json()],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_killed_in_the_scan_and_in_the_writing(
    reference: tuple[Path, dict[str, Any]], tmp_path: Path, state: Path
) -> None:
    inputs, said = reference
    again = job(inputs, tmp_path / "out")
    work = tmp_path / "out" / ".work" / said["release_id"]
    for sign in ("scan/*.json", "duplicates.json"):
        process = drive(again)
        while process.poll() is None and not list(work.glob(sign)):
            time.sleep(0.01)
        kill(process)
        assert not list((tmp_path / "out").glob("releases/*/manifest.json"))
        assert list(work.glob("scan/*.json"))
    assert drive(again).wait() == 0
    release = tmp_path / "out" / "releases" / said["release_id"]
    assert parquet(str(release)) == parquet(said["release"])
    assert not list(release.rglob(".*"))


@pytest.mark.slow
def test_killed_at_random_moments(
    reference: tuple[Path, dict[str, Any]], tmp_path: Path, state: Path
) -> None:
    inputs, said = reference
    again = job(inputs, tmp_path / "out")
    begun = time.monotonic()
    assert drive(job(inputs, tmp_path / "timed")).wait() == 0
    whole = time.monotonic() - begun
    killed, dice = 0, moments("test_killed_at_random_moments")
    for _ in range(6):
        process = drive(again)
        time.sleep(dice.uniform(0.2, 0.95) * whole)
        killed += process.poll() is None
        kill(process)
    assert killed and drive(again).wait() == 0
    release = tmp_path / "out" / "releases" / said["release_id"]
    assert parquet(str(release)) == parquet(said["release"])


def test_a_second_process_waits_for_the_first(
    reference: tuple[Path, dict[str, Any]], tmp_path: Path, state: Path
) -> None:
    inputs, said = reference
    both = [drive(job(inputs, tmp_path / "out")) for _ in range(2)]
    assert [p.wait() for p in both] == [0, 0]
    release = tmp_path / "out" / "releases" / said["release_id"]
    assert parquet(str(release)) == parquet(said["release"])
    assert not list((tmp_path / "out" / ".work").iterdir())
