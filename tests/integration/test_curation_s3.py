"""A curation from S3 to S3, against a local server."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from headrace.infra import releases, storage
from headrace.infra.errors import InputError
from headrace.spark_jobs.curate import inventory_job, release_job
from headrace.spark_jobs.settings import CurateJob, CurateSettings, Source

pytestmark = [pytest.mark.spark, pytest.mark.server]

SERVER = """
import sys
from moto.server import main
main(["-H", "127.0.0.1", "-p", sys.argv[1]])
"""

DRIVER = """
import json, sys
from headrace.infra.spark import session as spark
from headrace.spark_jobs.curate import dedup_job, inventory_job, release_job, scan_job
from headrace.spark_jobs.settings import CurateJob
job = CurateJob.model_validate_json(sys.argv[1])
inventory = inventory_job.take(job)
session = spark.session(job.spark)
scan_job.scan(session, job, inventory)
dedup_job.deduplicate(session, job, inventory)
print()
print(json.dumps(release_job.publish(job, release_job.write(session, job, inventory))))
"""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    storage._s3.cache_clear()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    import boto3

    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="texts")
    yield "s3://texts"
    process.kill()
    process.wait()
    storage._s3.cache_clear()


def test_from_s3_to_s3(bucket: str) -> None:
    text = "The committee will meet on Thursday to discuss the plan for the new library. "
    rows = [{"text": text * 3 + f"Item {k} is the last one on the list."} for k in range(5)]
    lines = "".join(json.dumps(r) + "\n" for r in rows) + "damaged\n"
    storage.write_bytes(f"{bucket}/in/a.jsonl", lines.encode())
    job = CurateJob(
        inputs=(Source(uri=f"{bucket}/in"),),
        output=f"{bucket}/out",
        settings=CurateSettings.model_validate({"input": {"max_unreadable": 0.5}}),
    )
    # A process of its own: Spark's workers know the server by the environment that Java began with.
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, job.model_dump_json()], capture_output=True, check=True
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["read"] == 6 and said["unreadable"] == 1
    manifest = releases.manifest(said["release"])
    assert manifest["inputs"][0]["uri"] == f"{bucket}/in/a.jsonl"
    for file in manifest["files"]:
        assert storage.size(storage.join(said["release"], file["path"])) == file["bytes"]
    assert storage.read_json(f"{bucket}/out/latest.json") == {"release_id": said["release_id"]}
    again = release_job.finished(job, inventory_job.take(job))
    assert again is not None and again["release_id"] == said["release_id"]


def test_what_is_no_input_below_a_prefix(bucket: str) -> None:
    """The same rules as in a local folder."""
    for name in (
        "a.jsonl", "deep/b 100%.jsonl", "README.md", "_SUCCESS", ".git/config",
        "deep/_temporary/0/c",
        "out/releases/x/documents/d.parquet", "old/manifest.json", "old/ledger.parquet",
        "old/documents/e.parquet",
    ):  # fmt: skip
        storage.write_bytes(f"{bucket}/in/{name}", b'{"text": "x"}\n')
    files, out = inventory_job.find_inputs([Source(uri=f"{bucket}/in")], f"{bucket}/in/out")
    assert [f.uri for f in files] == [f"{bucket}/in/a.jsonl", f"{bucket}/in/deep/b 100%.jsonl"]
    assert {x.uri.removeprefix(f"{bucket}/in/"): x.why for x in out} == {
        "README.md": "describes the data",
        "_SUCCESS": "hidden",
        ".git": "hidden",
        "deep/_temporary": "hidden",
        "out": "the output folder",
        "old": "a release of headrace; its documents/ would be an input",
    }
    surveyed, _ = inventory_job.survey_all(files)
    assert not any(f.error for f in surveyed)
    with pytest.raises(InputError, match="no such file"):
        inventory_job.find_inputs([Source(uri=f"{bucket}/none")])
