"""Token shards: whole, shuffled, held-out apart, and the same however they were made."""

import hashlib
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.infra.configuration.settings import SparkSettings
from headrace.infra.errors import InputError, UsageError, ValidationError
from headrace.infra.lineage import is_heldout
from headrace.infra.special_tokens import END_OF_TEXT, SPECIAL
from headrace.spark_jobs.token_settings import LEAST_VOCABULARY, TokenizeSettings
from headrace.spark_jobs.tokens import tokenizer as bpe
from headrace.spark_jobs.tokens.plan import TokenizeJob
from headrace.spark_jobs.tokens.shard_writer import row_order
from headrace.spark_jobs.tokens.tokenize_job import tokenize

SETTINGS = TokenizeSettings(vocabulary=300, sequence_length=32, shard_bytes=20_000)


def content_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def make_release(
    root: Path, name: str, cells: dict[tuple[str, str], Sequence[str]], parent: str | None = None
) -> str:
    """A release by hand, as the contract lays it out."""
    folder = root / "releases" / name
    folder.mkdir(parents=True)
    files = []
    for (lang, domain), texts in cells.items():
        path = f"documents/lang={lang}/domain={domain}/part-0.parquet"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        hashes = [content_hash(t) for t in texts]
        table = pa.table({"id": hashes, "text": list(texts), "content_hash": hashes})
        pq.write_table(table, folder / path, row_group_size=64)
        files.append({"path": path, "rows": len(texts)})
    manifest = {"release_id": name, "parent": parent, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return str(folder)


CELLS: dict[tuple[str, str], Sequence[str]] = {
    ("en", "general"): [f"The train number {i} leaves at {i % 24} o'clock.\n" for i in range(300)],
    ("zh", "legal"): [f"第{i}条 本办法自公布之日起第{i}日施行。\n" for i in range(300)],
}


@pytest.fixture
def release(tmp_path: Path) -> str:
    return make_release(tmp_path, "r1", CELLS)


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from headrace.infra.spark.session import session

    with pytest.MonkeyPatch.context() as m:
        m.setenv("HEADRACE_HOME", str(tmp_path_factory.mktemp("home")))
        started = session(SparkSettings())
        yield lambda: started


def never() -> Any:
    raise AssertionError("this needs no Spark")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def documents(folder: Path, part: str) -> list[str]:
    """Texts of the documents of a part, in their order before the shuffle; the last may be cut.

    For folders with one shard for training, number 0, and one held out, number 1.
    """
    tokenizer = bpe.load(str(folder / "tokenizer"))
    (file,) = (folder / part).glob("*.parquet")
    shuffled = pq.read_table(file)["input_ids"].to_pylist()
    order = row_order(
        TokenizeJob.model_fields["seed"].default, int(part == "heldout"), len(shuffled)
    )
    rows = dict(zip(order.tolist(), shuffled, strict=True))
    assert list(rows) != sorted(rows)
    ids = [x for at in sorted(rows) for x in rows[at]]
    text = tokenizer.decode(ids, skip_special_tokens=False)
    return text.split(END_OF_TEXT)[1:]


@pytest.mark.spark
def test_all_documents_shuffled_and_heldout_apart(spark: Any, release: str, tmp_path: Path) -> None:
    out = tmp_path / "tokens"
    settings = SETTINGS.model_copy(update={"shard_bytes": 10_000_000})
    answer = tokenize(spark, TokenizeJob(release=release, output=str(out), settings=settings))
    texts = [t for cell in CELLS.values() for t in cell]
    heldout = {t for t in texts if is_heldout(content_hash(t))}
    manifest = json.loads((out / "manifest.json").read_text())
    for part, want in (("train", set(texts) - heldout), ("heldout", heldout)):
        got = documents(out, part)
        cut = manifest["totals"][part]["dropped_tokens"]
        whole = got if cut == 0 else got[:-1]
        assert set(whole) <= want
        assert len(set(whole)) == len(whole) >= len(want) - 1 - cut
        assert manifest["totals"][part]["documents"] == len(want)
        assert manifest["bytes"][part] == sum(len(t.encode()) for t in got)
        assert manifest["totals"][part]["document_bytes"] == sum(len(t.encode()) for t in want)
    order = documents(out, "train")
    changes = sum((a[0] == "第") != (b[0] == "第") for a, b in itertools.pairwise(order))
    assert changes > len(order) / 3  # mixed over languages: one in two expected
    rows = {f["path"]: f["rows"] for f in manifest["files"]}
    for path, n in rows.items():
        assert pq.ParquetFile(out / path).metadata.num_rows == n
        assert hashlib.sha256((out / path).read_bytes()).hexdigest() == next(
            f["sha256"] for f in manifest["files"] if f["path"] == path
        )
    assert answer.tokens == 32 * sum(n for p, n in rows.items() if p.startswith("train/"))
    assert answer.vocabulary == 300


@pytest.mark.spark
def test_same_bytes_over_partitions_and_after_a_kill(
    spark: Any, release: str, tmp_path: Path
) -> None:
    outs = []
    for partitions in (1, 7):
        out = tmp_path / f"p{partitions}"
        job = TokenizeJob(
            release=release,
            output=str(out),
            settings=SETTINGS,
            spark=SparkSettings(partitions=partitions),
        )
        tokenize(spark, job)
        outs.append(contents(out))
    assert outs[0] == outs[1]
    assert sum(name.startswith("train/") for name in outs[0]) > 1
    # What a killed run leaves: the tokenizer and some shards, no manifest.
    (out / "manifest.json").unlink()
    (out / "train" / "00000.parquet").unlink()
    before = (out / "train" / "00001.parquet").stat().st_mtime_ns
    assert not tokenize(spark, job).reused
    assert contents(out) == outs[0]
    assert (out / "train" / "00001.parquet").stat().st_mtime_ns == before

    assert tokenize(never, job).reused


@pytest.mark.spark
def test_child_with_the_parents_tokenizer(spark: Any, release: str, tmp_path: Path) -> None:
    parent, child = tmp_path / "parent", tmp_path / "child"
    tokenize(spark, TokenizeJob(release=release, output=str(parent), settings=SETTINGS))
    window = [f"Patient {i} has a fever of {i % 5 + 37} degrees.\n" for i in range(200)]
    new = make_release(tmp_path, "r2", {("en", "medical"): window}, parent="r1")
    job = TokenizeJob(
        release=new,
        output=str(child),
        tokenizer=str(parent / "tokenizer"),
        ancestors=False,
        settings=SETTINGS,
    )
    tokenize(spark, job)
    name = "tokenizer/tokenizer.json"
    assert (child / name).read_bytes() == (parent / name).read_bytes()
    assert all(t.startswith("Patient") for t in documents(child, "train")[:-1])
    whole = job.model_copy(update={"ancestors": True, "output": str(tmp_path / "whole")})
    tokenize(spark, whole)
    manifest = json.loads((tmp_path / "whole" / "manifest.json").read_text())
    assert manifest["releases"] == ["r1", "r2"]
    assert sum(manifest["totals"][p]["documents"] for p in ("train", "heldout")) == 800


@pytest.mark.spark
def test_too_little_text(spark: Any, tmp_path: Path) -> None:
    small = make_release(tmp_path, "small", {("en", "general"): ["A short one."]})
    with pytest.raises(ValidationError, match="one row needs 32 tokens"):
        tokenize(spark, TokenizeJob(release=small, output=str(tmp_path / "t"), settings=SETTINGS))
    assert not (tmp_path / "t" / "manifest.json").exists()


def test_a_release_that_keeps_nothing(tmp_path: Path) -> None:
    empty = make_release(tmp_path, "none", {})
    with pytest.raises(ValidationError, match="keeps no document"):
        tokenize(never, TokenizeJob(release=empty, output=str(tmp_path / "out")))
    assert not (tmp_path / "out").exists()


def test_other_work_in_the_output(release: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    job = TokenizeJob(release=release, output=str(tmp_path / "full"), settings=SETTINGS)
    with pytest.raises(UsageError, match="not empty"):
        tokenize(never, job)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "work.json").write_text('{"seed": 1}')
    with pytest.raises(UsageError, match="other work"):
        tokenize(never, job.model_copy(update={"output": str(tmp_path / "other")}))
    with pytest.raises(InputError, match="not a release"):
        tokenize(never, job.model_copy(update={"release": str(tmp_path)}))


def test_the_least_vocabulary_is_special_tokens_and_bytes() -> None:
    assert len(SPECIAL) + 256 == LEAST_VOCABULARY
