"""Curation on a real standalone cluster: local's bytes, also after a kill; the code is shipped."""

import json
import os
import random
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
import zstandard

from headrace.infra.lineage import sha256
from headrace.infra.spark import code_archive
from headrace.spark_jobs.curate import inventory_job, steps

pytestmark = [pytest.mark.spark, pytest.mark.server, pytest.mark.slow]

HEADRACE = str(Path(sys.executable).with_name("headrace"))
# Everything passes, so that this is about where it runs.
OPEN = """
semantics: {threshold: 0.0}
bias: {threshold: 1.0}
domain: {targets: {general: 0.0, legal: 0.0, medical: 0.0, financial: 0.0}}
"""
FILES_A_UNIT = 3
"""Files that a worker has open while it scans a unit."""


def corpus(path: Path) -> Path:
    """Three and a half units of English text."""
    rnd = random.Random(5)
    lines = [x for t in sorted(topics.values()) for x in t.split("\n\n") if 80 < len(x) < 2000]
    with open(path, "w") as f:
        while f.tell() < 3.5 * inventory_job.SMALLEST_UNIT:
            f.write(json.dumps({"text": "\n\n".join(rnd.sample(lines, 12))}) + "\n")
    return path


def curate(inputs: Path, at: Path, *more: str) -> subprocess.Popen[str]:
    """`headrace curate` with a state folder and an output of its own."""
    at.mkdir()
    (at / "open.yaml").write_text(OPEN)
    return subprocess.Popen(
        [HEADRACE, "curate", "--input", str(inputs), "--output", str(at / "out"), "--json",
         "--config", str(at / "open.yaml"), *more],
        env={**os.environ, "HEADRACE_HOME": str(at / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def on(cluster: Any) -> tuple[str, ...]:
    return (
        *("--profile", "cluster", "--set", f"spark.master={cluster.master}"),
        *("--set", f"spark.event_log={cluster.events}"),
    )


def answer(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any], str]:
    out, err = process.communicate(timeout=600)
    return process.returncode, json.loads(out.splitlines()[-1]), err


def content(release: str) -> dict[str, str]:
    """{path: SHA-256} of all files but the results of validations, which carry the time."""
    root = Path(release)
    return {
        str(p.relative_to(root)): sha256(p)
        for p in root.rglob("*")
        if p.is_file() and (p.suffix == ".parquet" or p.name.startswith("report"))
    }


def events(cluster: Any, kind: str) -> list[dict[str, Any]]:
    """Events of this kind of all applications so far."""
    found = []
    for path in cluster.events.rglob("events_*"):
        with open(path, "rb") as f:
            text = zstandard.ZstdDecompressor().stream_reader(f, read_across_frames=True).read()
        found += [e for e in map(json.loads, text.splitlines()) if e["Event"] == kind]
    return found


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """(an input, what curate says of it on this machine)."""
    root = tmp_path_factory.mktemp("local")
    inputs = corpus(root / "in.jsonl")
    code, said, err = answer(curate(inputs, root / "at"))
    assert code == 0, err
    return inputs, said


def test_a_cluster_gives_the_bytes_of_local(
    cluster: Any, local: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    inputs, want = local
    code, said, err = answer(curate(inputs, tmp_path / "at", *on(cluster)))
    assert code == 0, err
    same = ("release_id", "read", "kept", "rejected", "unreadable", "input_bytes")
    assert {k: said[k] for k in same} == {k: want[k] for k in same}
    assert content(said["release"]) == content(want["release"])
    assert err.count("spark-submit to spark://") == len(steps.STEPS)
    assert "scan: done in" in err and "duplicates: done in" in err and "write: done in" in err
    assert not [x for x in err.splitlines() if "WARN" in x or "Traceback" in x or "\tat " in x]
    # Each step was an application, with executors of both workers.

    def completed() -> list[bool]:
        seen = cluster.page("history", "/api/v1/applications")
        return [a["attempts"][0]["completed"] for a in seen]

    end = time.monotonic() + 60  # the history server looks every ten seconds
    while completed() != [True] * len(steps.STEPS) and time.monotonic() < end:
        time.sleep(1)
    assert completed() == [True] * len(steps.STEPS)
    assert {e["Executor ID"] for e in events(cluster, "SparkListenerExecutorAdded")} >= {"0", "1"}


def test_a_worker_killed_in_mid_job_changes_nothing(
    cluster: Any, local: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    inputs, want = local
    process = curate(inputs, tmp_path / "at", *on(cluster))
    work = tmp_path / "at" / "out" / ".work" / want["release_id"]
    # Both workers have one core: with two units under way each of them is at one.
    while len(list(work.glob("scratch/*.tmp"))) < 2 * FILES_A_UNIT:
        assert process.poll() is None, answer(process)
        time.sleep(0.02)
    cluster.kill("worker-1")
    try:
        code, said, err = answer(process)
    finally:
        cluster.start("worker-1")
    assert code == 0, err
    assert said["release_id"] == want["release_id"]
    assert content(said["release"]) == content(want["release"])
    failed = [e["Task End Reason"] for e in events(cluster, "SparkListenerTaskEnd")]
    assert "ExecutorLostFailure" in {r["Reason"] for r in failed}, "the kill hit no running task"


def test_too_much_that_is_unreadable_keeps_its_code_and_counts(
    cluster: Any, tmp_path: Path
) -> None:
    rows = [json.dumps({"text": f"A line of text that can be read, number {n}."}) for n in range(6)]
    (tmp_path / "in.jsonl").write_text("\n".join([*rows, "{cut", "{cut"]))
    code, said, err = answer(curate(tmp_path / "in.jsonl", tmp_path / "at", *on(cluster)))
    assert code == 3 and said["error"]["code"] == 3, err
    assert (said["read"], said["unreadable"]) == (8, 2)
    assert "in.jsonl:7" in said["error"]["message"]
    assert not (tmp_path / "at" / "out" / "releases").exists()


def test_tokens_of_a_cluster_are_those_of_local(
    cluster: Any, local: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    def tokens(name: str, *more: str) -> dict[str, str]:
        out = tmp_path / name
        subprocess.run(
            [HEADRACE, "tokenize", "--release", local[1]["release"], "--output", str(out), *more],
            env={**os.environ, "HEADRACE_HOME": str(tmp_path / f"home-{name}")},
            check=True,
        )
        made = [p for p in out.rglob("*") if p.is_file() and p.parent.name != "validation"]
        return {str(p.relative_to(out)): sha256(p) for p in made}

    assert tokens("here") == tokens("there", *on(cluster))
    assert cluster.page("master", "/json/")["activeapps"] == [], "its cores are given back"


ASK = """
import json, sys
from headrace.infra.spark import session as spark
from headrace.infra.configuration.settings import SparkSettings

def ask(batches):
    import pyarrow as pa
    import headrace.spark_jobs.curate.parallel as stage, headrace.spark_jobs.marker as marker
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"said": [marker.SAYS], "file": [stage.__file__]})

session = spark.session(SparkSettings(master=sys.argv[1]))
asked = session.range(0, 4, 1, 4).mapInArrow(ask, "said string, file string").collect()
json.dump([list(r) for r in asked], sys.stdout)
session.stop()
"""


def test_executors_import_what_is_shipped_to_them(cluster: Any, state: Path) -> None:
    """A module that is only in the zip: what is installed here doesn't have it."""
    archive = code_archive.build("spark_jobs", state / "spark" / "code")
    with zipfile.ZipFile(archive, "a") as z:
        z.writestr("headrace/spark_jobs/marker.py", "SAYS = 'from the zip'\n")
    said = subprocess.run(
        [sys.executable, "-c", ASK, cluster.master],
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    unpacked = state / "spark" / "code" / archive.stem / "headrace"
    file = str(unpacked / "spark_jobs" / "curate" / "parallel.py")
    assert json.loads(said.stdout) == [["from the zip", file]] * 4
